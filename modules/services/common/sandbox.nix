# serviceConfig of a service that needs nothing but its own files and the network: a value, not a module.
import ./restrained.nix // {
  CapabilityBoundingSet = "";
  DevicePolicy = "closed";
  PrivateIPC = true;
  PrivateMounts = true;
  PrivateUsers = true;
  ProcSubset = "pid";
  ProtectProc = "invisible";
  ProtectSystem = "strict";
  RemoveIPC = true;
  RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_UNIX" ];
  SystemCallErrorNumber = "EPERM";
  SystemCallFilter = [ "@system-service" "~@privileged @resources" ];
}
