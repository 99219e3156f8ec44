{ config, lib, pkgs, ... }@module:
let kit = import ../../common/kit.nix module { name = "rings"; }; in
{
  options.services.rings = kit.options { what = "the counter of rings"; port = 8090; serves = "the page"; };
  config = lib.mkIf config.services.rings.enable (kit.service "rings" {
    definition = { description = "Counts the rings of a bell"; serviceConfig.MemoryMax = "32M"; };
    # The version of the file, as SCHEMA says it: a deploy that changes it keeps a copy of the data of before.
    data.version = "1";
  });
}
