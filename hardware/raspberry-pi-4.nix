# Raspberry Pi 4 Model B, 400 and Compute Module 4 (BCM2711).
{
  deviceTrees = [ "broadcom/bcm2711-rpi-4-b.dtb" "broadcom/bcm2711-rpi-400.dtb" "broadcom/bcm2711-rpi-cm4-io.dtb" ];
  # The label of the chip that the header's lines are on, by their numbers there.
  gpioHeader = "pinctrl-bcm2711";
  # Read by the firmware before U-Boot; https://www.raspberrypi.com/documentation/computers/config_txt.html
  firmwareConfig = "[pi4]\narm_boost=1\n";
  # Needed before DATA can be mounted: SD card, its regulators and power switches, the watchdog.
  initrdModules = [
    "gpio-regulator" "fixed" "gpio-raspberrypi-exp" "reset-raspberrypi" "sdhci-iproc" "bcm2835" "bcm2835_wdt"
    "pcie-brcmstb" "xhci-pci" "usb-storage" "uas"
  ];
}
