# Raspberry Pi 5 (BCM2712, steppings C1 and D0; input and output through the RP1).
{
  deviceTrees = [ "broadcom/bcm2712-rpi-5-b.dtb" "broadcom/bcm2712-d-rpi-5-b.dtb" ];
  # The label of the chip that the header's lines are on, by their numbers there. They have no names.
  gpioHeader = "pinctrl-rp1";
  firmwareConfig = "[pi5]\n";
  initrdModules = [
    "gpio-brcmstb" "pinctrl-brcmstb-bcm2712" "irq-bcm2712-mip" "reset-raspberrypi" "sdhci-brcmstb"
    "bcm2835_wdt" "pcie-brcmstb" "xhci-plat-hcd" "usb-storage" "uas" "nvme"
  ];
}
