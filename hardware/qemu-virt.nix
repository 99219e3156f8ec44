# QEMU's `virt` machine with a virtio disk: what tests and `lichen vm` run on. Its device tree comes from QEMU.
{
  deviceTrees = [ ];
  firmwareConfig = "";
  initrdModules = [ "virtio_mmio" "virtio_pci" "virtio_blk" "i6300esb" ];
}
