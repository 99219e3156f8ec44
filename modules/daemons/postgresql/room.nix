# What keeps PostgreSQL up when DATA is full: a value, not a module. What needs room in a table it refuses by itself; but it ends when
# its log needs room, and cannot start again without. So some room is kept for that. Once some of it was given away, all is read-only
# (unless a session says otherwise) until DATA has room to keep it all again.
{ directory, version, programs }:
let
  reserve = "${directory}/reserve";
  # In memory: DATA may have no room for a word.
  full = "/run/postgresql/full.conf";
  megabytes = "$(df --output=avail --block-size=1M ${directory} | tail -n 1)";
  kept = "[ $(stat -c %s ${reserve} 2> /dev/null || echo 0) = $((64 << 20)) ]";
  # Twice of what is kept: the other half is for writes.
  keep = "{ ${kept} || { [ ${megabytes} -ge 128 ] && fallocate -l 64M ${reserve}; }; }";
in
{
  # A file of settings that is not always there.
  inherit full;

  # Before a start. <3> is an error in the journal.
  before = ''
    if ${keep}; then
      rm -f ${full}
    else
      echo "default_transaction_read_only = on" > ${full}
      echo "<3>DATA is full: writes are refused until there is room"
    fi
  '';

  # After an end without room for two files of its log, of 16 MB, and a little more. Only half of it is given away: others may be faster
  # to take it, and the next start needs some, too.
  after = ''
    if [ "$EXIT_CODE $EXIT_STATUS" = "exited 1" ] && [ -e ${reserve} ] && [ ${megabytes} -lt 40 ]; then
      truncate -s $(($(stat -c %s ${reserve}) / 2)) ${reserve}
    fi
  '';

  # Now and then, as long as writes are refused. A server that cannot be told yet, since it is just starting, is told the next time.
  again = ''
    ${keep} || exit 0
    mv ${full} ${full}.over
    if ! ${programs}/pg_ctl -D ${directory}/${version} reload; then
      mv ${full}.over ${full}
      exit 0
    fi
    rm ${full}.over
    echo "DATA has room again: writes are taken"
  '';
}
