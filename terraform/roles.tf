# What machines may do: read the parameters of their own role, one by one, by name. The names of a cluster's parameters have
# 128 random bits and no machine may list them, so that clusters of one installation are kept apart as well.

locals {
  ec2_takes_them = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = local.ec2_service }
    }]
  })
}

locals {
  # What the agent of Systems Manager needs of AmazonSSMManagedInstanceCore for sessions, and no more.
  offer_sessions = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid    = "OfferSessions"
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = ["*"]
    }]
  })
}

resource "aws_iam_role" "machine" {
  for_each = toset(["scheduler", "worker"])

  name               = "${var.name}-${each.key}"
  description        = "Crewcall: machines of clusters, as ${each.key}"
  assume_role_policy = local.ec2_takes_them
  tags               = local.tags
}

resource "aws_iam_role_policy" "machine" {
  for_each = aws_iam_role.machine

  name = "parameters"
  role = each.value.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ReadOwnParameters"
      Effect   = "Allow"
      Action   = ["ssm:GetParameters"]
      Resource = ["${local.parameters}/*/${each.key}/*"]
    }]
  })
}

resource "aws_iam_role_policy" "scheduler_session" {
  count = var.session_manager ? 1 : 0

  name   = "session"
  role   = aws_iam_role.machine["scheduler"].name
  policy = local.offer_sessions
}

resource "aws_iam_instance_profile" "machine" {
  for_each = aws_iam_role.machine

  name = each.value.name
  role = each.value.name
  tags = local.tags

  # Whoever gets the name finds a role that can do its work.
  depends_on = [aws_iam_role_policy.machine, aws_iam_role_policy.scheduler_session]
}

resource "aws_iam_service_linked_role" "spot" {
  count = var.create_spot_role ? 1 : 0

  aws_service_name = "spot.amazonaws.com"
}
