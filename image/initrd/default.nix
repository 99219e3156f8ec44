# Kernel modules, busybox, e2fsck and `assemble` → the initrd, the same one for all boards and appliances.
{ lib, debian, kernel, rust, boards }:
let
  # Modules that any board needs, then those of each board. A board that is recognised by its device tree (`compatible`)
  # loads only its own; all the others load each other's too, since some share drivers.
  common = [ "ext4" "erofs" "overlay" ];
  named = builtins.filter (b: b ? compatible) boards;
  lists = [ { name = "any"; modules = common; } { name = "other"; modules = builtins.concatMap (b: b.initrdModules) boards; } ]
    ++ map (b: { name = b.compatible; modules = b.initrdModules; }) named;
in debian.inTools "initrd" {
  lists = builtins.concatStringsSep "\n" (map (l: "${l.name} ${builtins.concatStringsSep " " l.modules}") lists) + "\n";
  passAsFile = [ "lists" ];
  kernel = kernel.tree;
  assemble = rust.device.assemble;
  busyboxDeb = debian.deb "busybox-static" "arm64";
  e2fsckDeb = debian.deb "e2fsck-static" "arm64";
  init = ./init;
} ''
  mkdir -p root/{bin,modules/for,proc,sys,dev,run,sysroot} debs
  for deb in $busyboxDeb $e2fsckDeb; do dpkg-deb --fsys-tarfile $deb | tar -x -C debs --no-same-owner --no-same-permissions; done
  install -m 755 debs/usr/bin/busybox root/bin/busybox
  install -m 755 $(find debs -name e2fsck.static -type f) root/bin/e2fsck
  install -m 755 $assemble/bin/assemble root/bin/assemble
  install -m 755 $init root/init

  # In the order in which they can be loaded. Some are built into the kernel, and some of a board's do not exist in every
  # kernel: modprobe reports that and the list goes on.
  mkdir -p mods/usr/lib mods/lib; ln -s $kernel/usr/lib/modules mods/lib/modules; ln -s $kernel/usr/lib/modules mods/usr/lib/modules
  while read -r name modules; do for module in $modules; do
    modprobe -d /build/mods -S $(cat $kernel/version) --show-depends $module > depends 2>&1 || echo "not a module here: $module ($(head -n 1 depends))"
    while read -r verb file _; do
      [ "$verb" = insmod ] || continue
      cp -n $file root/modules/
      grep -qsx $(basename $file) root/modules/for/$name root/modules/for/any || basename $file >> root/modules/for/$name
    done < depends
  done; done < $listsPath
  tail -n +1 root/modules/for/*

  cd root
  find . -exec touch -h -d @1 {} +
  find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc --quiet --reproducible -R 0:0 | zstd -q -15 -T1 > $out
  ls -l $out
''
