provider "aws" {
  region = var.region
}

variable "region" {
  description = "Where clusters are to be."
  type        = string
  default     = "eu-central-1"
}

variable "installation" {
  description = "What `cat ~/.local/state/crewcall/installation` prints."
  type        = string
}

# A network of its own, and rights over the clusters of one installation only.
module "crewcall" {
  source = "../.."

  installation = var.installation
  network      = { cidr = "10.88.0.0/16" }
  tags         = { team = "data" }
}

output "provider_ec2" {
  value = module.crewcall.provider_ec2
}

output "policy_arn" {
  value = module.crewcall.policy_arn
}
