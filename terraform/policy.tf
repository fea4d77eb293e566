# What a person, or a controller, may do who makes clusters with Crewcall: see what EC2 has, make what carries the tags of
# the installation, and change and remove what carries them. As wide as the calls that Crewcall makes, and no wider;
# tests/terraform compares the two.

locals {
  being_made_as_ours = {
    "aws:RequestTag/crewcall:installation" = var.installation
    "aws:RequestTag/crewcall:cluster-uid"  = "?*"
  }

  ours = {
    "aws:ResourceTag/crewcall:installation" = var.installation
    "aws:ResourceTag/crewcall:cluster-uid"  = "?*"
  }

  see = [{
    Sid    = "SeeWhatIsThere"
    Effect = "Allow"
    # AWS has no narrower resource for these.
    Action = [
      "ec2:DescribeImages",
      "ec2:DescribeInstances",
      "ec2:DescribeLaunchTemplates",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
      "ec2:DescribeTags",
      "servicequotas:GetServiceQuota",
    ]
    Resource = ["*"]
  }]

  # EC2 asks for the right to launch once for each thing that takes part.
  launch = [
    {
      Sid      = "LaunchMachines"
      Effect   = "Allow"
      Action   = ["ec2:RunInstances"]
      Resource = ["${local.ec2}:instance/*"]
      Condition = {
        StringLike   = local.being_made_as_ours
        StringEquals = { "ec2:MetadataHttpTokens" = "required" }
        ArnEquals    = { "ec2:InstanceProfile" = sort([for profile in aws_iam_instance_profile.machine : profile.arn]) }
      }
    },
    {
      Sid       = "LaunchWithDisksAndInterfaces"
      Effect    = "Allow"
      Action    = ["ec2:RunInstances"]
      Resource  = ["${local.ec2}:network-interface/*", "${local.ec2}:volume/*"]
      Condition = { StringLike = local.being_made_as_ours }
    },
    {
      Sid       = "LaunchIntoOwnGroupsFromOwnTemplates"
      Effect    = "Allow"
      Action    = ["ec2:CreateFleet", "ec2:RunInstances"]
      Resource  = ["${local.ec2}:launch-template/*", "${local.ec2}:security-group/*"]
      Condition = { StringLike = local.ours }
    },
    {
      Sid    = "LaunchFromAnyImageAnywhere"
      Effect = "Allow"
      Action = ["ec2:RunInstances"]
      Resource = [
        "arn:${local.partition}:ec2:*::image/*",
        "${local.ec2}:key-pair/*",
        "${local.ec2}:placement-group/*",
        "${local.ec2}:spot-instances-request/*",
        "${local.ec2}:subnet/*",
      ]
    },
    {
      # EC2 looks the image's id up with the rights of whoever launches.
      Sid      = "FindImages"
      Effect   = "Allow"
      Action   = ["ssm:GetParameters"]
      Resource = local.image_parameters
    },
    {
      Sid       = "GiveMachinesTheirRoles"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = sort([for role in aws_iam_role.machine : role.arn])
      Condition = { StringEquals = { "iam:PassedToService" = local.ec2_service } }
    },
  ]

  groups = [
    {
      Sid       = "MakeGroupsTemplatesAndFleets"
      Effect    = "Allow"
      Action    = ["ec2:CreateFleet", "ec2:CreateLaunchTemplate", "ec2:CreateSecurityGroup"]
      Resource  = ["${local.ec2}:fleet/*", "${local.ec2}:launch-template/*", "${local.ec2}:security-group/*"]
      Condition = { StringLike = local.being_made_as_ours }
    },
    {
      # A fleet launches with the rights of whoever makes it: what it may launch is said above.
      Sid    = "MakeFleetsOfWhatMayBeLaunched"
      Effect = "Allow"
      Action = ["ec2:CreateFleet"]
      Resource = [
        "arn:${local.partition}:ec2:*::image/*",
        "${local.ec2}:instance/*",
        "${local.ec2}:key-pair/*",
        "${local.ec2}:network-interface/*",
        "${local.ec2}:placement-group/*",
        "${local.ec2}:security-group/*",
        "${local.ec2}:subnet/*",
        "${local.ec2}:volume/*",
      ]
    },
    {
      Sid      = "MakeGroupsInAnyVpc"
      Effect   = "Allow"
      Action   = ["ec2:CreateSecurityGroup"]
      Resource = ["${local.ec2}:vpc/*"]
    },
    {
      Sid    = "ChangeAndRemoveOwnGroups"
      Effect = "Allow"
      Action = [
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:DeleteSecurityGroup",
        "ec2:RevokeSecurityGroupIngress",
      ]
      Resource  = ["${local.ec2}:security-group/*"]
      Condition = { StringLike = local.ours }
    },
  ]

  machines = [
    {
      Sid       = "ReadAndRemoveWhatIsOurs"
      Effect    = "Allow"
      Action    = ["ec2:DeleteFleets", "ec2:DeleteLaunchTemplate", "ec2:GetConsoleOutput", "ec2:TerminateInstances"]
      Resource  = ["${local.ec2}:fleet/*", "${local.ec2}:instance/*", "${local.ec2}:launch-template/*"]
      Condition = { StringLike = local.ours }
    },
    {
      # Who could tag what is there could make it theirs, and then remove it.
      Sid    = "TagOnlyWhatIsBeingMade"
      Effect = "Allow"
      Action = ["ec2:CreateTags"]
      Resource = [
        "${local.ec2}:fleet/*",
        "${local.ec2}:instance/*",
        "${local.ec2}:launch-template/*",
        "${local.ec2}:network-interface/*",
        "${local.ec2}:security-group/*",
        "${local.ec2}:volume/*",
      ]
      Condition = {
        StringLike = local.being_made_as_ours
        StringEquals = {
          "ec2:CreateAction" = ["CreateFleet", "CreateLaunchTemplate", "CreateSecurityGroup", "RunInstances"]
        }
      }
    },
    {
      Sid      = "MoveTheEndOfOwnMachines"
      Effect   = "Allow"
      Action   = ["ec2:CreateTags", "ec2:DeleteTags"]
      Resource = ["${local.ec2}:instance/*"]
      Condition = {
        StringLike                  = local.ours
        "ForAllValues:StringEquals" = { "aws:TagKeys" = ["crewcall:expires-at"] }
        # A call that names no tag would pass for all values there are, and removes every tag.
        Null = { "aws:TagKeys" = "false" }
      }
    },
  ]

  secrets = [{
    Sid      = "PlaceAndRemoveOwnParameters"
    Effect   = "Allow"
    Action   = ["ssm:DeleteParameters", "ssm:GetParametersByPath", "ssm:PutParameter"]
    Resource = [local.parameters, "${local.parameters}/*"]
  }]

  # Ports of own schedulers, and no shell: without the check of the document a session that names none would be one.
  sessions = [
    {
      Sid      = "ForwardPortsOfOwnMachines"
      Effect   = "Allow"
      Action   = ["ssm:StartSession"]
      Resource = ["${local.ec2}:instance/*"]
      Condition = {
        StringLike   = { for key, value in local.ours : replace(key, "aws:ResourceTag", "ssm:resourceTag") => value }
        BoolIfExists = { "ssm:SessionDocumentAccessCheck" = "true" }
      }
    },
    {
      Sid       = "ForwardPortsOnly"
      Effect    = "Allow"
      Action    = ["ssm:StartSession"]
      Resource  = ["arn:${local.partition}:ssm:*::document/AWS-StartPortForwardingSession"]
      Condition = { BoolIfExists = { "ssm:SessionDocumentAccessCheck" = "true" } }
    },
    {
      Sid       = "ResumeAndEndOwnSessions"
      Effect    = "Allow"
      Action    = ["ssm:ResumeSession", "ssm:TerminateSession"]
      Resource  = ["arn:${local.partition}:ssm:*:${local.account}:session/*"]
      Condition = { StringLike = { "ssm:resourceTag/aws:ssmmessages:session-id" = "$${aws:userid}*" } }
    },
    {
      Sid    = "UseOwnSessions"
      Effect = "Allow"
      Action = ["ssmmessages:OpenDataChannel"]
      Resource = [
        "arn:${local.partition}:ssm:*:${local.account}:session/$${aws:userid}-*",
        "arn:${local.partition}:ssm:*:${local.account}:session/$${aws:username}-*",
      ]
    },
  ]

  # Volumes are encrypted; with a key of the customer's, EC2 uses it in the name of whoever launches.
  volume_keys = var.volume_kms_key_arn == null ? [] : [
    {
      Sid    = "EncryptVolumes"
      Effect = "Allow"
      Action = [
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
      ]
      Resource  = [var.volume_kms_key_arn]
      Condition = { StringLike = { "kms:ViaService" = "ec2.*.${data.aws_partition.here.dns_suffix}" } }
    },
    {
      Sid       = "LetVolumesUseTheirKey"
      Effect    = "Allow"
      Action    = ["kms:CreateGrant"]
      Resource  = [var.volume_kms_key_arn]
      Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
    },
  ]
}

resource "aws_iam_policy" "clusters" {
  name        = var.name
  description = "Crewcall: make, use and remove clusters on EC2"
  tags        = local.tags

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.see, local.launch, local.groups, local.machines, local.secrets, local.volume_keys)
  })
}

# Apart, because IAM takes no policy of more than 6,144 characters.
resource "aws_iam_policy" "sessions" {
  for_each = toset(var.session_manager ? ["sessions"] : [])

  name        = "${var.name}-sessions"
  description = "Crewcall: reach schedulers through port forwardings of Session Manager"
  tags        = local.tags

  policy = jsonencode({ Version = "2012-10-17", Statement = local.sessions })
}
