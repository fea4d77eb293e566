variable "name" {
  description = "What the names of everything that the module makes begin with. Another one for each installation that has a module of its own."
  type        = string
  default     = "crewcall"

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@-]{1,40}$", var.name))
    error_message = "name has 1 to 40 letters, digits or any of _+=,.@- and no slash."
  }
}

variable "installation" {
  description = "The installation whose clusters may be made and removed, as it is in the file `installation` of Crewcall's state directory (with `controller`: of that machine's, which gets it); `*` for every installation of the account."
  type        = string
  default     = "*"

  validation {
    condition     = can(regex("^([*]|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$", var.installation))
    error_message = "installation is a UUID in small letters, such as ~/.local/state/crewcall/installation holds, or `*`."
  }
}

variable "image_parameters" {
  description = "Names of Systems Manager parameters, with `*` for any characters, that hold the ids of machine images: AWS' public ones, and those that documents name as `ami: resolve:ssm:NAME`."
  type        = list(string)
  default     = ["/aws/service/*"]

  validation {
    condition = length(var.image_parameters) > 0 && alltrue([
      for name in var.image_parameters : can(regex("^/[A-Za-z0-9_./*-]+$", name)) && !startswith(name, "/crewcall/") && !startswith(name, "/*")
    ])
    error_message = "image_parameters are names from their first slash on, of which none is below /crewcall/ nor begins with a star."
  }
}

variable "volume_kms_key_arn" {
  description = "ARN of the customer managed KMS key that the account encrypts volumes with by default; null where that is AWS' own key."
  type        = string
  default     = null

  validation {
    condition     = var.volume_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.volume_kms_key_arn))
    error_message = "volume_kms_key_arn is the ARN of a key (not of an alias)."
  }
}

variable "create_spot_role" {
  description = "Whether to make the account's service-linked role for spot instances. An account has one at most; it is there once anybody has asked for a spot instance in the console."
  type        = bool
  default     = false
}

variable "session_manager" {
  description = "Whether schedulers may be reached through port forwardings of Session Manager, as documents with `addresses: sessionManager` have it: the scheduler's role then offers sessions, and whoever has the policy may forward ports of own machines."
  type        = bool
  default     = false
}

variable "network" {
  description = "A VPC of its own with one public subnet in each of `zones` (default: the region's first three); null: machines are in the default VPC, or in subnets that documents name."
  type = object({
    cidr  = optional(string, "10.88.0.0/16")
    zones = optional(list(string))
  })
  default = null

  validation {
    condition     = var.network == null || try(can(cidrhost(var.network.cidr, 0)) && tonumber(split("/", var.network.cidr)[1]) >= 16 && tonumber(split("/", var.network.cidr)[1]) <= 24, false)
    error_message = "network.cidr is a block of IPv4 addresses between /16 and /24."
  }

  validation {
    condition     = try(var.network.zones, null) == null || try(length(var.network.zones) >= 1 && length(var.network.zones) <= 8 && length(distinct(var.network.zones)) == length(var.network.zones), false)
    error_message = "network.zones are one to eight availability zones, each once."
  }
}

variable "controller" {
  description = <<-EOT
    A machine that is always on and runs Crewcall's controller; null: none.

    - subnet_id: where it is; with `network` the first of its subnets, and not to be given.
    - instance_type: of the Nitro system, on x86_64 or arm64 as the program is.
    - ami: an image of Amazon Linux 2023; default: the newest when the machine is made.
    - public_address: whether it gets a public address that stays (an Elastic IP). Without, the subnet needs another way to AWS.
    - key_name, ssh_cidrs: a key pair, and private blocks that may reach port 22. Default: nobody, only Session Manager.
    - program_url, program_sha256: where it fetches the program (built with the Cargo feature `ec2`); default: you put it to /opt/crewcall/crewcall.
    - state_size: the disk of Crewcall's state, in GiB.
    - state_snapshot_id: a snapshot of an earlier such disk to begin with.
    - final_snapshot: whether a snapshot is made before that disk is destroyed.
  EOT
  type = object({
    subnet_id         = optional(string)
    instance_type     = optional(string, "t3.small")
    architecture      = optional(string, "x86_64")
    ami               = optional(string)
    public_address    = optional(bool, true)
    key_name          = optional(string)
    ssh_cidrs         = optional(set(string), [])
    program_url       = optional(string)
    program_sha256    = optional(string)
    state_size        = optional(number, 8)
    state_snapshot_id = optional(string)
    final_snapshot    = optional(bool, true)
  })
  default = null

  validation {
    condition     = var.controller == null || (try(var.controller.subnet_id, null) == null) == (var.network != null)
    error_message = "controller.subnet_id names the subnet exactly where the module makes no network."
  }

  validation {
    condition     = var.controller == null || try(contains(["x86_64", "arm64"], var.controller.architecture), false)
    error_message = "controller.architecture is x86_64 or arm64."
  }

  validation {
    condition = var.controller == null || try(alltrue([
      for block in var.controller.ssh_cidrs : can(cidrhost(block, 0)) && can(regex("^(10[.]|192[.]168[.]|172[.](1[6-9]|2[0-9]|3[01])[.]|100[.](6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])[.]|f[cd])", block))
    ]), false)
    error_message = "controller.ssh_cidrs are blocks of private addresses; from elsewhere there is Session Manager."
  }

  validation {
    condition = var.controller == null || try((
      var.controller.program_url == null && var.controller.program_sha256 == null
      ) || (
      can(regex("^https://[A-Za-z0-9._~:/?&=%+-]+$", var.controller.program_url)) && can(regex("^[0-9a-f]{64}$", var.controller.program_sha256))
    ), false)
    error_message = "controller.program_url is an https URL, and controller.program_sha256 the SHA-256 of what is there, in small hexadecimal digits."
  }

  validation {
    condition     = var.controller == null || try(var.controller.state_size >= 1 && var.controller.state_size <= 1024 && floor(var.controller.state_size) == var.controller.state_size, false)
    error_message = "controller.state_size is a whole number of GiB, from 1 to 1024."
  }
}

variable "tags" {
  description = "Tags of everything that the module makes."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "crewcall:") && !startswith(lower(key), "aws:")])
    error_message = "Keys of tags begin neither with crewcall:, by which the policy tells what Crewcall may remove, nor with aws:."
  }
}
