output "provider_ec2" {
  description = "What to paste below `spec` of a document: `terraform output -raw provider_ec2`."
  value = join("\n", concat(
    [
      "provider:",
      "  ec2:",
      "    region: ${local.region}",
    ],
    # Machines of all clusters are in the network that the module made, if it made one.
    var.network == null ? [] : ["    subnets: [${join(", ", [for zone in local.zones : aws_subnet.public[zone].id])}]"],
    [
      "    instanceProfiles:",
      "      scheduler: ${jsonencode(aws_iam_instance_profile.machine["scheduler"].name)}",
      "      workers: ${jsonencode(aws_iam_instance_profile.machine["worker"].name)}",
      "",
    ],
  ))
}

output "policy_arn" {
  description = "The policy for whoever makes clusters, to be attached to users, groups, roles or permission sets."
  value       = aws_iam_policy.clusters.arn
}

output "policy_json" {
  description = "The same policy as text."
  value       = aws_iam_policy.clusters.policy
}

output "session_policy_arn" {
  description = "The policy for port forwardings of Session Manager, to be attached beside the other one; null without `session_manager`."
  value       = one([for policy in aws_iam_policy.sessions : policy.arn])
}

output "session_policy_json" {
  description = "The same policy as text."
  value       = one([for policy in aws_iam_policy.sessions : policy.policy])
}

output "role_names" {
  description = "The roles of machines, by what they are. What is attached to them tasks have with `taskCredentials: instanceProfile`."
  value       = { for key, role in aws_iam_role.machine : key => role.name }
}

output "network" {
  description = "The network that the module made, if it made one."
  value = one([for vpc in aws_vpc.this : {
    vpc_id     = vpc.id
    subnet_ids = [for zone in local.zones : aws_subnet.public[zone].id]
  }])
}

output "controller" {
  description = "The machine of the controller, if there is one, and how to get there."
  value = one([for key, instance in aws_instance.controller : {
    instance_id     = instance.id
    private_address = instance.private_ip
    role_name       = aws_iam_role.controller[key].name
    volume_id       = aws_ebs_volume.state[key].id
    session         = "aws ssm start-session --region ${local.region} --target ${instance.id}"
  }])
}
