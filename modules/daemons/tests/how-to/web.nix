{
  networking.hostName = "visits";
  networking.firewall.allowedTCPPorts = [ 80 443 ];

  services.postgresql = {
    enable = true;
    ensureDatabases = [ "visits" ];
    ensureUsers = [ { name = "visits"; ensureDBOwnership = true; } ];
  };

  # The application: systemd gives each request to a few lines of shell. Yours is a program that listens on the port.
  systemd.sockets.visits = { wantedBy = [ "sockets.target" ]; listenStreams = [ "127.0.0.1:3000" ]; socketConfig.Accept = true; };
  systemd.services."visits@" = {
    after = [ "postgresql.target" ];
    environment.PGOPTIONS = "-c client_min_messages=warning";
    serviceConfig = { User = "visits"; StandardInput = "socket"; StandardOutput = "socket"; StandardError = "journal"; MemoryMax = "64M"; };
    script = ''
      while read -r line && [ "$line" != $'\r' ]; do :; done
      count=$(psql -Xqt -c 'CREATE TABLE IF NOT EXISTS visits (at timestamptz)' \
        -c 'INSERT INTO visits VALUES (now())' -c 'SELECT count(*) FROM visits')
      printf 'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nYou are visitor %d.\n' $count
    '';
  };
  users.users.visits = { isSystemUser = true; group = "visits"; uid = 1000; };
  users.groups.visits.gid = 1000;

  services.nginx = {
    enable = true;
    recommendedProxySettings = true;
    recommendedTlsSettings = true;
    virtualHosts."visits.local" = {
      default = true;
      forceSSL = true;
      locations."/".proxyPass = "http://127.0.0.1:3000";
    };
  };
}
