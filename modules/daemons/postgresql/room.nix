# What keeps PostgreSQL up when DATA is full: a value, not a module. What needs room in a table it refuses by itself; but it ends when
# its log needs room, and cannot start again without. So some room is kept for that. Where it was given away, all is read-only
# (unless a session says otherwise) until DATA has room to keep some again.
{ directory, version, programs }:
let
  reserve = "${directory}/reserve";
  full = "${directory}/full.conf";
  megabytes = "$(df --output=avail --block-size=1M ${directory} | tail -n 1)";
  # Twice of what is kept: the other half is for writes.
  keep = "[ ${megabytes} -ge 128 ] && fallocate -l 64M ${reserve}";
in
{
  # A file of settings that is not always there.
  inherit full;

  # Before a start. <3> is an error in the journal.
  before = ''
    if [ -e ${reserve} ] || { ${keep}; }; then
      rm -f ${full}
    else
      echo "default_transaction_read_only = on" > ${full}
      echo "<3>DATA is full: writes are refused until there is room"
    fi
  '';

  # After an end.
  after = ''
    if [ "$EXIT_CODE $EXIT_STATUS" = "exited 1" ] && [ ${megabytes} -lt 16 ]; then rm -f ${reserve}; fi
  '';

  # Now and then, as long as writes are refused.
  again = ''
    { ${keep}; } || exit 0
    rm ${full}
    ${programs}/pg_ctl -D ${directory}/${version} reload
    echo "DATA has room again: writes are taken"
  '';
}
