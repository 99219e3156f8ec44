# serviceConfig of a service made with the service kit (crates/kit): its life, and how little it may do.
# A value, not a module: a service says `import ./common/kit.nix "name" // { … what it needs besides … }`.
name: {
  Type = "notify";
  User = name;
  Group = name;
  StateDirectory = name;
  StateDirectoryMode = "0700";
  ImportCredential = "${name}.*";
  UMask = "0077";

  # Comes back by itself, ever more slowly; but a bad configuration does not get better.
  Restart = "always";
  RestartSec = "1s";
  RestartSteps = 6;
  RestartMaxDelaySec = "60s";
  RestartPreventExitStatus = 64;
  WatchdogSec = "30s";
  TimeoutStartSec = "60s";
  TimeoutStopSec = "20s";
  TasksMax = 64;
} // import ./sandbox.nix
