# An AMI with startup-agent, from Debian 12 or Amazon Linux 2023, for amd64 and
# arm64:
#
#     make package
#     packer init scripts/bake/startup-agent.pkr.hcl
#     packer build scripts/bake/startup-agent.pkr.hcl
#     packer build -only='*.arm64' -var distribution=amazon-linux scripts/bake/startup-agent.pkr.hcl

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.8"
    }
  }
}

variable "distribution" {
  type        = string
  default     = "debian"
  description = "The image to start from: debian or amazon-linux."
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "name" {
  type        = string
  default     = "startup-agent"
  description = "The AMI's name begins with this."
}

variable "packages" {
  type        = string
  default     = "dist/packages"
  description = "The folder with the agent's packages; one version of each."
}

locals {
  debian = var.distribution == "debian"
  owner  = local.debian ? "136693071363" : "137112412989" # Debian, Amazon
  user   = local.debian ? "admin" : "ec2-user"
  stamp  = formatdate("YYYYMMDD-hhmmss", timestamp())
}

source "amazon-ebs" "amd64" {
  ami_name      = "${var.name}-${var.distribution}-amd64-${local.stamp}"
  region        = var.region
  instance_type = "t3.small"
  ssh_username  = local.user

  source_ami_filter {
    filters = {
      name                = local.debian ? "debian-12-amd64-*" : "al2023-ami-2023.*-x86_64"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = [local.owner]
    most_recent = true
  }

  # The machine that builds, and every instance of the image, speak IMDSv2 only.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  imds_support = "v2.0"
}

source "amazon-ebs" "arm64" {
  ami_name      = "${var.name}-${var.distribution}-arm64-${local.stamp}"
  region        = var.region
  instance_type = "t4g.small"
  ssh_username  = local.user

  source_ami_filter {
    filters = {
      name                = local.debian ? "debian-12-arm64-*" : "al2023-ami-2023.*-arm64"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = [local.owner]
    most_recent = true
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  imds_support = "v2.0"
}

build {
  sources = ["source.amazon-ebs.amd64", "source.amazon-ebs.arm64"]

  provisioner "shell" {
    inline = ["mkdir -p /tmp/startup-agent"]
  }
  provisioner "file" {
    source      = "${var.packages}/"
    destination = "/tmp/startup-agent"
  }
  provisioner "file" {
    source      = "${path.root}/provision.sh"
    destination = "/tmp/startup-agent/provision.sh"
  }
  provisioner "shell" {
    inline = [
      "case ${var.distribution}-$(uname -m) in debian-x86_64) p=_amd64.deb ;; debian-aarch64) p=_arm64.deb ;; *) p=.$(uname -m).rpm ;; esac",
      "sudo bash /tmp/startup-agent/provision.sh /tmp/startup-agent/startup-agent[-_]*$p",
      "rm -rf /tmp/startup-agent",
    ]
  }
}
