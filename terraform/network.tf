# A VPC for those who have none to spare: public subnets, one in each zone. Crewcall makes a security group for each cluster;
# the VPC's own lets nobody in.

data "aws_availability_zones" "here" {
  count = var.network == null ? 0 : 1

  state = "available"

  # Local zones have few types of machines.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  networks = var.network == null ? {} : { this = var.network }

  zones = var.network == null ? [] : coalesce(
    var.network.zones,
    slice(data.aws_availability_zones.here[0].names, 0, min(3, length(data.aws_availability_zones.here[0].names))),
  )
}

resource "aws_vpc" "this" {
  for_each = local.networks

  cidr_block           = each.value.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = local.tags
}

resource "aws_default_security_group" "this" {
  for_each = aws_vpc.this

  vpc_id = each.value.id
  tags   = local.tags
}

resource "aws_internet_gateway" "this" {
  for_each = aws_vpc.this

  vpc_id = each.value.id
  tags   = local.tags
}

resource "aws_route_table" "this" {
  for_each = aws_vpc.this

  vpc_id = each.value.id
  tags   = local.tags
}

resource "aws_route" "out" {
  for_each = aws_route_table.this

  route_table_id         = each.value.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[each.key].id
}

resource "aws_subnet" "public" {
  for_each = { for number, zone in local.zones : zone => number }

  vpc_id            = aws_vpc.this["this"].id
  availability_zone = each.key
  # Eight blocks, so that zones may be added.
  cidr_block = cidrsubnet(var.network.cidr, 3, each.value)
  # Crewcall says of each machine whether it has a public address.
  map_public_ip_on_launch = false
  tags                    = merge(local.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.this["this"].id
}
