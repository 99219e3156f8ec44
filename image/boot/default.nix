# What is on BOOT: firmware, U-Boot, the boot script, the state slots, and one folder per kernel.
{ lib, debian, kernel, initrd, boards }:
let
  noDelay = import ./no-delay.nix { inherit (debian) busybox; };
in rec {
  # The files of one kernel, in the shape they have on BOOT. Its name there is that of this path, so that
  # generations with the same kernel share it.
  kernelFolder = debian.inTools "kernel-folder" { kernel = kernel.tree; inherit initrd; } ''
    mkdir $out
    cp -r $kernel/boot/Image $kernel/boot/dtb $out/
    cp $initrd $out/initrd
  '';
  kernelName = builtins.substring 11 16 (builtins.unsafeDiscardStringContext "${kernelFolder}");

  # config: further lines for config.txt. toplevel, kernelParams: generation 1, which a new device boots.
  folder = { toplevel, kernelParams, config }: debian.inTools "boot-folder" {
    firmware = debian.deb "raspi-firmware" "arm64";
    uboot = debian.deb "u-boot-rpi" "arm64";
    bootScript = ./boot.cmd;
    configText = ''
      arm_64bit=1
      enable_uart=1
      kernel=u-boot.bin
      upstream_kernel=1
      ${builtins.concatStringsSep "" (map (b: b.firmwareConfig) boards)}[all]
      ${config}
    '';
    # Written by the initrd's and the boot script's readers: `kdir` and `args` per generation.
    generation = ''
      kdir=k/${kernelName}
      args=lichen.toplevel=${toplevel} ${builtins.concatStringsSep " " kernelParams}
    '';
    inherit kernelFolder toplevel;
    passAsFile = [ "configText" "generation" ];
  } ''
    for deb in $firmware $uboot; do dpkg-deb --fsys-tarfile $deb | tar -x --no-same-owner --no-same-permissions; done
    mkdir -p $out/gen $out/k
    cp usr/lib/raspi-firmware/{start4.elf,fixup4.dat} $out/
    cp usr/lib/u-boot/rpi_arm64/u-boot.bin $out/
    chmod u+w $out/u-boot.bin
    ${noDelay "$out/u-boot.bin"}
    for dtb in $(cd $kernelFolder/dtb && find . -name '*.dtb'); do cp $kernelFolder/dtb/$dtb $out/; done
    cp $configTextPath $out/config.txt
    cp $generationPath $out/gen/1.env
    cp -r --no-preserve=mode $kernelFolder $out/k/${kernelName}
    mkimage -A arm64 -T script -C none -n boot -d $bootScript $out/boot.scr > /dev/null
    # Both slots valid from the start, one of them the current one.
    printf 'seq=1\ngood=1\n' | mkenvimage -s 512 -p 0 -o $out/st0.env -
    printf 'seq=0\ngood=1\n' | mkenvimage -s 512 -p 0 -o $out/st1.env -
    ls -lR $out | head -60
  '';
}
