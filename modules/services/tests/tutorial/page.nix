{
  networking.hostName = "rings";
  services.rings = { enable = true; openFirewall = true; };
  users.users.rings.uid = 900;
  users.groups.rings.gid = 900;
}
