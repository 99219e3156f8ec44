# QEMU's `virt` machine with a virtio disk: what tests and `lichen vm` run on. Its device tree comes from QEMU.
{
  # Whose device tree says so is this board and gets no other's modules in the initrd.
  compatible = "linux,dummy-virt";
  deviceTrees = [ ];
  firmwareConfig = "";
  initrdModules = [ "virtio_mmio" "virtio_pci" "virtio_blk" "i6300esb" ];
}
