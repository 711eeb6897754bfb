# Sourced: installs system packages where this user may, and says what is missing where not.

# install_system_packages WHAT PACKAGE…: WHAT is what a reader would call the missing thing. Fails where it may not.
install_system_packages() {
  local what=$1 become=""
  shift
  if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then
    become="sudo -n"
  fi
  if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "$become" ]; }; then
    echo "environment: installing system packages for the $what: $*" >&2
    if { $become apt-get update -qq && $become apt-get install -y -qq --no-install-recommends "$@"; } >&2; then
      return 0
    fi
  fi
  echo "missing: the $what; this user cannot install it. As root: apt-get install $*" >&2
  echo "         (without apt: the packages of the same purpose)" >&2
  return 1
}
