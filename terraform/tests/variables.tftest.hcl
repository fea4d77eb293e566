# What is refused before AWS is asked: `terraform init && terraform test` in the folder above. Asks nobody anything.

mock_provider "aws" {}

run "defaults_are_taken" {
  command = plan
}

run "an_installation_is_a_uuid_or_a_star" {
  command         = plan
  expect_failures = [var.installation]
  variables { installation = "8e0a*" }
}

run "names_have_no_slash" {
  command         = plan
  expect_failures = [var.name]
  variables { name = "team/crewcall" }
}

run "secrets_of_clusters_are_no_images" {
  command         = plan
  expect_failures = [var.image_parameters]
  variables { image_parameters = ["/crewcall/*"] }
}

run "all_parameters_are_too_many" {
  command         = plan
  expect_failures = [var.image_parameters]
  variables { image_parameters = ["/*"] }
}

run "an_alias_is_no_key" {
  command         = plan
  expect_failures = [var.volume_kms_key_arn]
  variables { volume_kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/volumes" }
}

run "a_network_has_room_for_machines" {
  command         = plan
  expect_failures = [var.network]
  variables { network = { cidr = "10.0.0.0/28" } }
}

run "a_zone_is_named_once" {
  command         = plan
  expect_failures = [var.network]
  variables { network = { zones = ["eu-central-1a", "eu-central-1a"] } }
}

run "a_controller_is_somewhere" {
  command         = plan
  expect_failures = [var.controller]
  variables { controller = {} }
}

run "a_controller_is_in_one_place" {
  command         = plan
  expect_failures = [var.controller]
  variables {
    network    = { zones = ["eu-central-1a"] }
    controller = { subnet_id = "subnet-0123456789abcdef0" }
  }
}

run "a_program_comes_with_its_fingerprint" {
  command         = plan
  expect_failures = [var.controller]
  variables {
    controller = { subnet_id = "subnet-0123456789abcdef0", program_url = "https://example.org/crewcall" }
  }
}

run "ssh_is_not_open_to_the_world" {
  command         = plan
  expect_failures = [var.controller]
  variables {
    controller = { subnet_id = "subnet-0123456789abcdef0", ssh_cidrs = ["0.0.0.0/0"] }
  }
}

run "tags_do_not_say_that_it_belongs_to_a_cluster" {
  command         = plan
  expect_failures = [var.tags]
  variables { tags = { "crewcall:installation" = "x" } }
}
