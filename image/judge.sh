# shellcheck shell=bash
# What a page says and Debian's programs would pass over in silence, or fail at when they start on the device: they
# judge it here. `judge ROOT` prints what is wrong with the root of a device, and fails.

judge() {
  local root=$1 script keys key file
  # ssh-keygen asks who it runs as.
  grep -q ":x:$(id -u):" "$root/etc/passwd" 2> /dev/null || echo "build:x:$(id -u):0::/:/bin/sh" >> "$root/etc/passwd"

  for script in "$root"/etc/lichen/scripts/*; do
    [ -e "$script" ] || continue
    bash -n "$script" || { echo "bash cannot read the script ${script##*/} of this configuration (above)"; return 1; }
  done

  # sshd ignores a line that it cannot read.
  for keys in "$root"/etc/ssh/authorized_keys.d/*; do
    [ -e "$keys" ] || continue
    while read -r key; do
      [ -n "$key" ] || continue
      printf '%s\n' "$key" | qemu-aarch64 -L "$root" "$root/usr/bin/ssh-keygen" -l -f - > /dev/null 2>&1 \
        || { echo "sshd would not take the key \"$key\" of the user ${keys##*/}"; return 1; }
    done < "$keys"
  done

  # systemd's daemons ignore a key that they do not know. Those that they know are words in their programs, as Section.Key.
  grep -a -o -h -E '[A-Z0-9][A-Za-z0-9]*\.[A-Z0-9][A-Za-z0-9]*' \
    "$root"/usr/lib/systemd/systemd-{networkd,resolved,timesyncd,journald} "$root/usr/bin/udevadm" | sort -u > known
  find "$root"/etc/systemd/network* "$root"/etc/systemd/{resolved,timesyncd,journald}.conf* -type f 2> /dev/null | sort |
    while read -r file; do
      awk -v file="${file#"$root"}" '
        FILENAME == ARGV[1] { known[$0]; next }
        continued { continued = /\\$/; next }
        /^[ \t]*([#;]|$)/ { next }
        /^\[/ { section = substr($0, 2, index($0, "]") - 2); next }
        {
          continued = /\\$/
          key = $0
          sub(/[ \t]*=.*/, "", key)
          name = section "." key
          if (!(name in known) && name !~ /^X-|\.X-/) print file ": [" section "] " key "="
        }
      ' known "$file"
    done > unknown
  [ ! -s unknown ] || { cat unknown; echo "systemd knows no such key (above)"; return 1; }
}
