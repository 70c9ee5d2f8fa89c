# An instance that takes on the personality web. The key is in Parameter Store: the
# userdata, which Terraform's state holds in clear, names it and does not have it.
#
#   startup-packer pack web.yaml -o web.bundle
#   startup-packer push web.bundle s3://BUCKET/web.bundle
#   aws ssm put-parameter --type SecureString --name /web/bundle-key --value file://web.bundle.key
#   startup-packer userdata --url s3://BUCKET/web.bundle --key-from ssm:/web/bundle-key \
#       --bundle web.bundle -o userdata

variable "image" {
  description = "an image with startup-agent in it"
  type        = string
}

variable "bucket" {
  description = "where the bundle is"
  type        = string
}

variable "subnet" {
  type = string
}

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

resource "aws_iam_role" "web" {
  name_prefix = "web-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "web" {
  name = "start-up"
  role = aws_iam_role.web.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = "arn:${data.aws_partition.this.partition}:s3:::${var.bucket}/web.bundle"
      },
      {
        Effect   = "Allow"
        Action   = "ssm:GetParameter"
        Resource = "arn:${data.aws_partition.this.partition}:ssm:${data.aws_region.this.name}:${data.aws_caller_identity.this.account_id}:parameter/web/bundle-key"
      },
    ]
  })
}

resource "aws_iam_instance_profile" "web" {
  name_prefix = "web-"
  role        = aws_iam_role.web.name
}

resource "aws_launch_template" "web" {
  name_prefix   = "web-"
  image_id      = var.image
  instance_type = "t3.small"
  user_data     = filebase64("${path.module}/userdata")

  # Another userdata is another start-up: without this, it would reach new instances
  # only by chance.
  update_default_version = true

  iam_instance_profile {
    arn = aws_iam_instance_profile.web.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
}

resource "aws_instance" "web" {
  subnet_id = var.subnet

  launch_template {
    id      = aws_launch_template.web.id
    version = aws_launch_template.web.latest_version
  }
}
