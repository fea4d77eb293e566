provider "aws" {
  region = "eu-central-1"
}

variable "subnet" {
  type = string
}

# Whatever the examples leave as it is.
module "crewcall" {
  source = "../../../terraform"

  name               = "team-a"
  installation       = "8b0c5a52-6d0e-4b0e-9d4e-0d5f7a8f1c11"
  image_parameters   = ["/aws/service/ecs/*", "/images/*"]
  volume_kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/0d5f7a8f-6d0e-4b0e-9d4e-8b0c5a521c11"
  create_spot_role   = true
  session_manager    = true
  tags               = { team = "a" }

  controller = {
    subnet_id      = var.subnet
    instance_type  = "t4g.small"
    architecture   = "arm64"
    public_address = false
    ssh_cidrs      = ["10.1.0.0/16", "fd00::/8"]
    program_url    = "https://example.org/crewcall?build=ec2&arch=arm64"
    program_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    state_size     = 20
    final_snapshot = false
  }
}

output "provider_ec2" {
  value = module.crewcall.provider_ec2
}

output "policy_arn" {
  value = module.crewcall.policy_arn
}

output "session_policy_arn" {
  value = module.crewcall.session_policy_arn
}

output "controller" {
  value = module.crewcall.controller
}
