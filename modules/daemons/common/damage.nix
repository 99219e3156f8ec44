# What a server gets that ends with status 1 because of what it finds in its files, and would do so for ever: before its next start they are
# looked at, and what is damaged is put aside. The script after its end only notes that it is to be, since an end has little time. A value,
# not a module.
{ lib, directory, runtime }:
let
  note = "${runtime}/ended";
in
{
  after = ''
    [ "$EXIT_CODE $EXIT_STATUS" != "exited 1" ] || touch ${note}
  '';

  # mend: a script that runs in `directory`, and does what it can: whatever comes of it, the server is started. In it, `aside PATH…` needs no
  # room on DATA. What was put aside before stays for a week: one damage is often found in several starts.
  before = mend: ''
    mkdir -p ${directory}/damaged || true
    number=1
    aside() {
      local path
      for path; do
        touch $path && mv $path damaged/$number-''${path##*/} || return 1
      done
    }
    mend() {
      local old taken
      cd ${directory} || return
      for old in damaged/*; do
        [ -e "$old" ] || continue
        if [ $(($(date +%s) - $(stat -c %Y "$old"))) -gt $((7 * 86400)) ]; then
          rm -rf "$old"
          continue
        fi
        taken=''${old#damaged/}
        taken=''${taken%%-*}
        [ "$taken" -lt $number ] || number=$((taken + 1))
      done
    ${lib.concatMapStrings (line: if line == "" then "\n" else "  ${line}\n") (lib.splitString "\n" (lib.removeSuffix "\n" mend))}}
    if [ -e ${note} ]; then
      mend || true
      rm ${note}
    fi
  '';

  serviceConfig = {
    # All of it is read several times.
    TimeoutStartSec = "30min";
    # The note is read at the next start.
    RuntimeDirectoryPreserve = "restart";
  };
}
