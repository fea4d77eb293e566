"""Machines for the EC2 double: their image, their network, and what runs beside them."""
