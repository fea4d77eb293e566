# A machine that is always on and runs Crewcall's controller. It is replaced when its settings change; its state is on a
# disk of its own, which stays, and of which a snapshot is made before it is destroyed.

locals {
  controllers = var.controller == null ? {} : { this = var.controller }

  # Those of the module's own network are known from it; that of another is asked for.
  controller_subnet = var.controller == null ? null : (
    var.network == null ? one(data.aws_subnet.controller[*]) : aws_subnet.public[local.zones[0]]
  )
}

data "aws_subnet" "controller" {
  count = var.controller != null && var.network == null ? 1 : 0

  id = var.controller.subnet_id
}

data "aws_ssm_parameter" "controller_image" {
  for_each = { for key, controller in local.controllers : key => controller if controller.ami == null }

  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${each.value.architecture}"
}

resource "aws_iam_role" "controller" {
  for_each = local.controllers

  name               = "${var.name}-controller"
  description        = "Crewcall: the machine of its controller"
  assume_role_policy = local.ec2_takes_them
  tags               = local.tags
}

resource "aws_iam_role_policy_attachment" "controller" {
  for_each = aws_iam_role.controller

  role       = each.value.name
  policy_arn = aws_iam_policy.clusters.arn
}

resource "aws_iam_role_policy_attachment" "sessions" {
  for_each = { for key, role in aws_iam_role.controller : key => role if var.session_manager }

  role       = each.value.name
  policy_arn = aws_iam_policy.sessions["sessions"].arn
}

# What the agent of Systems Manager needs for sessions. AWS' own policy for it may read every parameter of the account.
resource "aws_iam_role_policy" "session" {
  for_each = aws_iam_role.controller

  name   = "session"
  role   = each.value.name
  policy = local.offer_sessions
}

resource "aws_iam_instance_profile" "controller" {
  for_each = aws_iam_role.controller

  name = each.value.name
  role = each.value.name
  tags = local.tags

  depends_on = [aws_iam_role_policy.session, aws_iam_role_policy_attachment.controller]
}

resource "aws_security_group" "controller" {
  for_each = local.controllers

  name        = "${var.name}-controller"
  description = "Crewcall: the machine of its controller"
  vpc_id      = local.controller_subnet.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-controller" })
}

resource "aws_vpc_security_group_egress_rule" "controller" {
  for_each = aws_security_group.controller

  security_group_id = each.value.id
  description       = "AWS, and the schedulers of clusters"
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
  tags              = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "controller" {
  for_each = toset(flatten([for controller in local.controllers : tolist(controller.ssh_cidrs)]))

  security_group_id = aws_security_group.controller["this"].id
  description       = "SSH from private addresses"
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
  cidr_ipv4         = strcontains(each.key, ":") ? null : each.key
  cidr_ipv6         = strcontains(each.key, ":") ? each.key : null
  tags              = local.tags
}

resource "aws_ebs_volume" "state" {
  for_each = local.controllers

  availability_zone = local.controller_subnet.availability_zone
  size              = each.value.state_size
  snapshot_id       = each.value.state_snapshot_id
  type              = "gp3"
  encrypted         = true
  final_snapshot    = each.value.final_snapshot
  tags              = merge(local.tags, { Name = "${var.name}-state" })

  lifecycle {
    # The snapshot is where the disk begins, and may go.
    ignore_changes = [snapshot_id]
  }
}

resource "aws_instance" "controller" {
  for_each = local.controllers

  ami                    = coalesce(each.value.ami, try(data.aws_ssm_parameter.controller_image[each.key].insecure_value, null))
  instance_type          = each.value.instance_type
  subnet_id              = local.controller_subnet.id
  vpc_security_group_ids = [aws_security_group.controller[each.key].id]
  iam_instance_profile   = aws_iam_instance_profile.controller[each.key].name
  key_name               = each.value.key_name
  tags                   = merge(local.tags, { Name = "${var.name}-controller" })

  user_data_replace_on_change = true
  user_data = templatefile("${path.module}/controller.sh.tftpl", {
    volume       = replace(aws_ebs_volume.state[each.key].id, "-", "")
    region       = local.region
    installation = var.installation == "*" ? "" : var.installation
    program      = each.value.program_url == null ? "" : each.value.program_url
    sha256       = each.value.program_sha256 == null ? "" : each.value.program_sha256
  })

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted   = true
    volume_type = "gp3"
    volume_size = 16
  }

  lifecycle {
    # A newer image is no reason to replace what runs; `terraform apply -replace` takes it.
    ignore_changes = [ami]
  }
}

# The same address whatever machine has it: clusters are open to the address from which they were made.
resource "aws_eip" "controller" {
  for_each = { for key, controller in local.controllers : key => controller if controller.public_address }

  domain   = "vpc"
  instance = aws_instance.controller[each.key].id
  tags     = merge(local.tags, { Name = "${var.name}-controller" })

  depends_on = [aws_route.out]
}

resource "aws_volume_attachment" "state" {
  for_each = local.controllers

  device_name                    = "/dev/sdf"
  volume_id                      = aws_ebs_volume.state[each.key].id
  instance_id                    = aws_instance.controller[each.key].id
  stop_instance_before_detaching = true
}
