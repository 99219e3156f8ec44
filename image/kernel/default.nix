# Debian's kernel → what BOOT needs (kernel, device trees) and what the root needs (modules, firmware).
{ lib, debian, boards }:
let
  keys = debian.setClosure "kernel";
  mine = prefix: builtins.filter (k: builtins.match "${prefix}.*:arm64" k != null) keys;
  debs = debian.files (mine "linux-modules-[0-9]" ++ mine "linux-binary-" ++ mine "linux-base-[0-9]");
  firmware = debian.deb "firmware-brcm80211" "arm64";
in rec {
  # Modules that no Raspberry Pi, nothing that is plugged into one and no test can use.
  leftOut = [
    "arch/arm64/kvm" "drivers/accel" "drivers/ata" "drivers/block/drbd" "drivers/clk/{imx,mediatek,meson,qcom,renesas,rockchip,sunxi,tegra}"
    "drivers/crypto/{cavium,ccree,hisilicon,marvell,intel,inside-secure,qce,caam,bcm,starfive}" "drivers/firewire"
    "drivers/fpga" "drivers/gpu/drm/{amd,arm,armada,ast,etnaviv,exynos,hisilicon,i915,imagination,imx,ingenic,lima,mcde,mediatek,meson,mgag200,msm,nouveau,panfrost,panthor,pl111,qxl,radeon,renesas,rockchip,sprd,sun4i,tegra,tidss,vmwgfx,xe,xlnx}"
    "drivers/hwtracing" "drivers/iio/{adc,dac,frequency,gyro,imu,accel,light,proximity,potentiometer,amplifiers,resolver}" "drivers/infiniband" "drivers/isdn" "drivers/md/dm-vdo" "drivers/media/{dvb-frontends,firewire,pci,radio,tuners}"
    "drivers/message" "drivers/mtd" "drivers/net/{arcnet,can,dsa,fddi,hippi,ieee802154,wwan,thunderbolt,fjes,wan,hamradio,ipa,ethernet/mellanox}"
    "drivers/net/wireless/{admtek,ath,atmel,intel,intersil,marvell,mediatek,microchip,purelifi,quantenna,ralink,realtek,rsi,silabs,st,ti,zydas}"
    "drivers/nvdimm" "drivers/parport" "drivers/pcmcia" "drivers/phy/{qualcomm,rockchip,mediatek,tegra,marvell,hisilicon,freescale,allwinner,amlogic,ti,renesas,samsung,xilinx,cadence}"
    "drivers/scsi/{aacraid,aic7xxx,aic94xx,arcmsr,be2iscsi,bfa,bnx2fc,bnx2i,csiostor,cxgbi,elx,esas2r,fcoe,fnic,hisi_sas,isci,libfc,lpfc,megaraid,mpi3mr,mpt3sas,mvsas,pm8001,qedf,qedi,qla2xxx,qla4xxx,smartpqi,snic,sym53c8xx_2}"
    "drivers/soundwire" "drivers/staging" "drivers/target" "drivers/ufs" "drivers/vfio" "drivers/xen"
    "fs/{affs,afs,befs,bfs,ceph,coda,ecryptfs,freevxfs,gfs2,hfs,hfsplus,hpfs,jfs,minix,nilfs2,ocfs2,omfs,orangefs,qnx4,qnx6,reiserfs,romfs,smb/server,sysv,ubifs,ufs,xfs,zonefs}"
    "net/{9p,appletalk,atm,ax25,batman-adv,can,ceph,dccp,dsa,ieee802154,iucv,lapb,mac802154,mpls,netrom,nfc,openvswitch,phonet,rds,rose,rxrpc,sctp,smc,tipc,x25,xfrm}"
    "sound/{firewire,hda,pci,soc/amd,soc/codecs,soc/fsl,soc/intel,soc/mediatek,soc/meson,soc/qcom,soc/renesas,soc/rockchip,soc/samsung,soc/sof,soc/sunxi,soc/tegra,soc/ti}"
  ];
  # Ethernet: what the boards have, and QEMU's.
  ethernet = [ "broadcom/genet" "cadence" "intel/e1000" "intel/e1000e" ];

  tree = debian.inTools "kernel-tree" { inherit debs firmware; } ''
    mkdir all
    for deb in $debs $firmware; do dpkg-deb --fsys-tarfile $deb | tar -x -C all --no-same-owner --no-same-permissions; done
    cd all/usr/lib/modules/*/
    version=''${PWD##*/}
    mkdir -p $out/boot/dtb $out/usr/lib/modules $out/usr/lib/firmware/{brcm,cypress}
    gzip -n -6 < vmlinuz > $out/boot/Image
    rm -f vmlinuz
    for dtb in ${builtins.concatStringsSep " " (builtins.concatMap (b: b.deviceTrees) boards)}; do
      install -D -m 644 dtb/$dtb $out/boot/dtb/$dtb
    done
    rm -rf dtb source build
    cd kernel
    rm -rf ${builtins.concatStringsSep " " leftOut}
    find drivers/net/ethernet -name '*.ko*' | grep -vE '^drivers/net/ethernet/(${builtins.concatStringsSep "|" ethernet})/' | xargs rm -f
    find . -depth -type d -empty -delete
    # The layer compresses as a whole, in a way that a slow core undoes quickly; xz costs it 100 ms for a large module.
    find . -name '*.ko.xz' -print0 | xargs -0 -P2 -n 64 xz -d
    cd ..
    cp -r . $out/usr/lib/modules/$version
    cp -a /build/all/usr/lib/firmware/brcm/brcmfmac4345[56]* $out/usr/lib/firmware/brcm/
    cp -a /build/all/usr/lib/firmware/cypress/cyfmac43455* $out/usr/lib/firmware/cypress/
    depmod -b $out/usr $version 2>&1 || depmod -b $out $version
    # What kmod-static-nodes.service would make of it at every boot.
    mkdir $out/usr/lib/tmpfiles.d
    awk '!/^#/ {
      if (match($2, ".*/")) print "d /dev/" substr($2, 1, RLENGTH - 1) " 0755 - - -"
      print substr($3, 1, 1) "! /dev/" $2 " 0600 - - - " substr($3, 2)
    }' $out/usr/lib/modules/$version/modules.devname > $out/usr/lib/tmpfiles.d/static-nodes.conf
    grep -q '^c! /dev/net/tun 0600 - - - 10:200$' $out/usr/lib/tmpfiles.d/static-nodes.conf
    echo $version > $out/version
    du -sh $out/usr/lib/modules $out/usr/lib/firmware $out/boot
  '';
}
