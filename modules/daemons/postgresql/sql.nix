# What is said to PostgreSQL in its own words: a value, not a module.
{ lib }:
let
  literal = text: "'${lib.replaceStrings [ "'" ] [ "''" ] text}'";
  identifier = name: "\"${lib.replaceStrings [ "\"" ] [ "\"\"" ] name}\"";
  missing = statement: table: column: name:
    "SELECT format('${statement} %I', ${literal name}) WHERE NOT EXISTS (SELECT FROM ${table} WHERE ${column} = ${literal name}) \\gexec\n";
  role = user:
    let clauses = lib.filterAttrs (_: wanted: wanted != null) user.ensureClauses; in
    missing "CREATE USER" "pg_roles" "rolname" user.name
    + lib.optionalString (clauses != { })
      "ALTER ROLE ${identifier user.name} ${lib.concatStringsSep " " (lib.mapAttrsToList (clause: wanted: lib.optionalString (!wanted) "NO" + lib.toUpper clause) clauses)};\n"
    + lib.optionalString user.ensureDBOwnership "ALTER DATABASE ${identifier user.name} OWNER TO ${identifier user.name};\n";
in
{
  inherit literal;

  # The databases and roles that are to be there.
  ensured = { ensureDatabases, ensureUsers }:
    lib.concatMapStrings (missing "CREATE DATABASE" "pg_database" "datname") ensureDatabases + lib.concatMapStrings role ensureUsers;

  # Recreates the cluster in $DIRECTORY from a dump of all of it, which makes the role postgres, too. A server of its own
  # reads the dump, on a socket in that folder; who restores writes everything to the card afterwards.
  restore = { programs, version, initdb }: ''
    set -e
    PATH=${programs}:$PATH
    cluster=$DIRECTORY/${version}
    ${initdb "\"$cluster\""} --no-sync > /dev/null
    trap 'pg_ctl -D "$cluster" -m immediate stop > /dev/null' EXIT
    # Its log must not take the room of others, up to 1 GB; and half a cluster is thrown away.
    wal='-c min_wal_size=32MB -c max_wal_size=64MB -c full_page_writes=off'
    pg_ctl -D "$cluster" -w -o "-k '$DIRECTORY' -c listen_addresses= -c fsync=off $wal" start > /dev/null
    sed '1,/^\\connect/{/^CREATE ROLE postgres;$/d}' | psql -X -q -v ON_ERROR_STOP=1 -h "$DIRECTORY" -U postgres -d postgres > /dev/null
    trap - EXIT
    pg_ctl -D "$cluster" -w stop > /dev/null
  '';

  # A build's check: a server with this configuration starts, and takes all the SQL of the page.
  judged = { programs, initdb, psql, initial }: ''
    for program in initdb postgres psql; do stand_in ${programs}/$program; done
    refuse() { cat log; echo "error: $1"; exit 1; }
    ${initdb "data"} --no-sync > log 2>&1 || refuse "services.postgresql.initdbArgs: initdb refuses them (above)"
    for table in hba:pg_hba_file_rules:authentication ident:pg_ident_file_mappings:identMap; do
      IFS=: read -r file view option <<< $table
      echo "SELECT line_number, error FROM $view WHERE error IS NOT NULL" \
        | postgres --single -D data -c ''${file}_file=/etc/postgresql/pg_$file.conf postgres > log 2>&1 || refuse "pg_$file.conf cannot be read (above)"
      sed -n 's/.* \(line_number\|error\) = "\(.*\)".*(typeid.*/\1: \2/p' log > refused
      [ ! -s refused ] || { mv refused log; refuse "services.postgresql.$option: PostgreSQL refuses a line of pg_$file.conf (above)"; }
    done
    echo 'local all all trust' > trust
    # A certificate is only on the device.
    postgres -D data -c config_file=/etc/postgresql/postgresql.conf -c hba_file=/build/trust -c ssl=off \
      -c unix_socket_directories=/build -c listen_addresses= > log 2>&1 &
    until grep -q 'ready to accept connections' log; do
      kill -0 $! 2> /dev/null || refuse "services.postgresql.settings: the server does not start with them (above)"
      sleep 0.1
    done
    run() { ${psql} -h /build -U postgres -f $1 > log.psql 2>&1 || { mv log.psql log; refuse "$2 fails (above)"; }; }
    ${lib.optionalString initial "run /etc/postgresql/initial.sql services.postgresql.initialScript"}
    # Twice: what is there already is left as it is.
    for _ in 1 2; do run /etc/postgresql/setup.sql 'the SQL of services.postgresql.ensureDatabases and ensureUsers'; done
    kill -INT $!
    wait $!
  '';
}
