# Kernel modules, busybox, e2fsck and `assemble` → the initrd. The one for all boards and appliances.
{ lib, debian, kernel, rust, boards }:
let
  # Whatever the board, then what the board needs.
  modules = [ "ext4" "erofs" "overlay" ] ++ builtins.concatMap (b: b.initrdModules) boards;
in debian.inTools "initrd" {
  inherit modules;
  kernel = kernel.tree;
  assemble = rust.device.assemble;
  busyboxDeb = debian.deb "busybox-static" "arm64";
  e2fsckDeb = debian.deb "e2fsck-static" "arm64";
  init = ./init;
} ''
  mkdir -p root/{bin,modules,proc,sys,dev,run,sysroot} debs
  for deb in $busyboxDeb $e2fsckDeb; do dpkg-deb --fsys-tarfile $deb | tar -x -C debs --no-same-owner --no-same-permissions; done
  install -m 755 debs/usr/bin/busybox root/bin/busybox
  install -m 755 $(find debs -name e2fsck.static -type f) root/bin/e2fsck
  install -m 755 $assemble/bin/assemble root/bin/assemble
  install -m 755 $init root/init

  # In the order in which they can be loaded, each once. Some are built into the kernel, some boards' do not exist
  # in every kernel: modprobe says so and the list goes on.
  mkdir -p mods/usr/lib mods/lib; ln -s $kernel/usr/lib/modules mods/lib/modules; ln -s $kernel/usr/lib/modules mods/usr/lib/modules
  for module in $modules; do
    modprobe -d /build/mods -S $(cat $kernel/version) --show-depends $module > depends 2>&1 || echo "not a module here: $module ($(head -n 1 depends))"
    while read -r verb file _; do
      [ "$verb" = insmod ] || continue
      name=$(basename ''${file%.xz})
      [ ! -e root/modules/$name ] || continue
      xz -dc $file > root/modules/$name
      echo $name >> root/modules/order
    done < depends
  done
  cat root/modules/order

  cd root
  find . -exec touch -h -d @1 {} +
  find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc --quiet --reproducible -R 0:0 | zstd -q -15 -T1 > $out
  ls -l $out
''
