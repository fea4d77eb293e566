data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

data "aws_region" "here" {}

locals {
  account   = data.aws_caller_identity.here.account_id
  partition = data.aws_partition.here.partition
  region    = data.aws_region.here.name

  # What IAM calls EC2 where it takes a role.
  ec2_service = "ec2.${data.aws_partition.here.dns_suffix}"

  ec2        = "arn:${local.partition}:ec2:*:${local.account}"
  parameters = "arn:${local.partition}:ssm:*:${local.account}:parameter/crewcall/${var.installation}"

  # Those of AWS belong to no account.
  image_parameters = distinct([
    for name in var.image_parameters :
    "arn:${local.partition}:ssm:*:${startswith(name, "/aws/") ? "" : local.account}:parameter${name}"
  ])

  tags = merge({ Name = var.name }, var.tags)
}
