provider "aws" {
  region = var.region
}

variable "region" {
  description = "Where clusters are to be."
  type        = string
  default     = "eu-central-1"
}

variable "program" {
  description = "Where the machine fetches Crewcall, built with the Cargo feature `ec2`; null: you put it there."
  type        = object({ url = string, sha256 = string })
  default     = null
}

# A machine that is always on, in a network of its own. Nobody reaches it but by Session Manager.
module "crewcall" {
  source = "../.."

  network = {}
  controller = {
    program_url    = try(var.program.url, null)
    program_sha256 = try(var.program.sha256, null)
  }
}

output "provider_ec2" {
  value = module.crewcall.provider_ec2
}

output "controller" {
  value = module.crewcall.controller
}
