provider "aws" {
  region = var.region
}

variable "region" {
  description = "Where clusters are to be."
  type        = string
  default     = "eu-central-1"
}

# Profiles of machines, and the policy of whoever makes clusters; machines are in the default VPC.
module "crewcall" {
  source = "../.."
}

output "provider_ec2" {
  value = module.crewcall.provider_ec2
}

output "policy_arn" {
  value = module.crewcall.policy_arn
}
