# shellcheck shell=bash
# The snippets of launch --emit: the same instance in another tool's words. Sourced
# by launch, which has the options (option, instances) and the userdata.
# shellcheck disable=SC2154

readonly emitted='image-id instance-type subnet-id security-group-ids iam-instance-profile key-name metadata-options'

# one NAME: the only value of an option.
one() { option "$1" | head -n 1; }

# text VALUE: as a string of JSON and YAML, or of HCL, where ${ begins an expression.
text() {
  local value=${1//\\/\\\\}
  value=${value//\"/\\\"}
  if [ "$emit" = terraform ]; then value=${value//\$\{/\$\$\{}; fi
  printf '"%s"' "$value"
}

# list: the lines of standard input as a list of strings.
list() {
  local line rest=''
  while read -r line; do rest+=", $(text "$line")"; done
  printf '[%s]' "${rest#, }"
}

# profile KEY: the Name or the Arn of --iam-instance-profile Name=web.
profile() { one iam-instance-profile | tr ',' '\n' | sed -n "s/^$1=//p" | head -n 1; }

# metadata KEY: a part of --metadata-options.
metadata() { one metadata-options | tr ',' '\n' | sed -n "s/^$1=//p" | head -n 1; }

emit_snippet() {
  local given
  for given in "${instances[@]}"; do
    [[ $given != --* || " $emitted " == *" ${given#--} "* ]] || die 2 "--emit does not know $given: leave it out, and add it to the snippet"
  done
  encoded=$(base64 -w 0 <"${packed:-$userdata}")
  case $emit in
  terraform) emit_terraform ;;
  cloudformation) emit_cloudformation ;;
  launch-template) emit_launch_template ;;
  esac
}

# line FORMAT VALUE: a line, where there is a value.
line() {
  # shellcheck disable=SC2059 # the format is ours
  [ -z "$2" ] || printf "$1\n" "$(text "$2")"
}

emit_terraform() {
  echo 'resource "aws_instance" "startup" {'
  line '  ami                    = %s' "$(one image-id)"
  line '  instance_type          = %s' "$(one instance-type)"
  line '  subnet_id              = %s' "$(one subnet-id)"
  [ -z "$(option security-group-ids)" ] || printf '  vpc_security_group_ids = %s\n' "$(option security-group-ids | list)"
  line '  iam_instance_profile   = %s' "$(profile Name | grep . || profile Arn | sed 's|.*/||')" # the name is an ARN's last part
  line '  key_name               = %s' "$(one key-name)"
  line '  user_data_base64       = %s' "$encoded"
  echo
  echo '  metadata_options {'
  line '    http_endpoint               = %s' "$(metadata HttpEndpoint)"
  line '    http_tokens                 = %s' "$(metadata HttpTokens)"
  printf '    http_put_response_hop_limit = %s\n' "$(metadata HttpPutResponseHopLimit | grep . || echo 1)"
  echo '  }'
  echo '}'
}

# launch_data INDENT: the launch template data that EC2 and CloudFormation share, as
# members of a JSON object.
launch_data() {
  local data=()
  [ -z "$(one image-id)" ] || data+=("\"ImageId\": $(text "$(one image-id)")")
  [ -z "$(one instance-type)" ] || data+=("\"InstanceType\": $(text "$(one instance-type)")")
  [ -z "$(one key-name)" ] || data+=("\"KeyName\": $(text "$(one key-name)")")
  if [ -n "$(profile Name)" ]; then
    data+=("\"IamInstanceProfile\": {\"Name\": $(text "$(profile Name)")}")
  elif [ -n "$(profile Arn)" ]; then
    data+=("\"IamInstanceProfile\": {\"Arn\": $(text "$(profile Arn)")}")
  fi
  if [ -n "$(one subnet-id)" ]; then
    data+=("\"NetworkInterfaces\": [{\"DeviceIndex\": 0, \"SubnetId\": $(text "$(one subnet-id)"), \"Groups\": $(option security-group-ids | list)}]")
  elif [ -n "$(option security-group-ids)" ]; then
    data+=("\"SecurityGroupIds\": $(option security-group-ids | list)")
  fi
  data+=("\"MetadataOptions\": {\"HttpEndpoint\": $(text "$(metadata HttpEndpoint | grep . || echo enabled)"), \"HttpTokens\": $(text "$(metadata HttpTokens | grep . || echo required)"), \"HttpPutResponseHopLimit\": $(metadata HttpPutResponseHopLimit | grep . || echo 1)}")
  data+=("\"UserData\": $(text "$encoded")")
  local i
  for ((i = 0; i < ${#data[@]}; i++)); do
    printf '%s%s%s\n' "$1" "${data[i]}" "$([ "$i" -eq $((${#data[@]} - 1)) ] || echo ,)"
  done
}

emit_launch_template() {
  echo '{'
  launch_data '  '
  echo '}'
}

emit_cloudformation() {
  cat <<'YAML'
Resources:
  StartupTemplate:
    Type: AWS::EC2::LaunchTemplate
    Properties:
      LaunchTemplateData: {
YAML
  launch_data '        '
  cat <<'YAML'
      }
  StartupInstance:
    Type: AWS::EC2::Instance
    Properties:
      LaunchTemplate:
        LaunchTemplateId: !Ref StartupTemplate
        Version: !GetAtt StartupTemplate.LatestVersionNumber
YAML
}
