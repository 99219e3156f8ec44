# NixOS has several systems in one generation; here each is a generation of its own.
import ../daemons/common/not-offered.nix [ ] {
  specialisation = "write a page of its own that imports this one, and deploy it: `./lichen deploy HOST PAGE`; the way back is a rollback.";
}
