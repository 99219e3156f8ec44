# The boot script: one text for every board. Chooses a generation by the two state slots, counts the tries of
# one on trial, and falls back to the last good one.
#
# Invariants: a slot is only ever overwritten in place, always the one that is not current, so that a power
# cut leaves the other valid (CRC-32). A good generation's boots are never counted.

setenv part "${devtype} ${devnum}:${distro_bootpart}"

# Our own load addresses: the Pi's defaults overlap a kernel of this size.
setenv base 0
if test "${board}" = "qemu-arm"; then setenv base 0x40000000; fi
setexpr kernel_at ${base} + 0x400000
setexpr fdt_at ${base} + 0x7000000
setexpr scratch_at ${base} + 0x7f00000
setexpr initrd_at ${base} + 0x9000000
setexpr words_at ${base} + 0xb000000
setexpr kernel_comp_addr_r ${base} + 0xc000000
setenv kernel_comp_size 0x4000000

# --- the state: st0.env and st1.env, 512 bytes each, the higher seq wins; numbers are hexadecimal
setenv seq0 0; setenv seq1 0; setenv seq; setenv good; setenv next; setenv tries
if load ${part} ${scratch_at} st0.env && env import -c ${scratch_at} 0x200 seq good next tries; then
  setenv seq0 ${seq}; setenv good0 "${good}"; setenv next0 "${next}"; setenv tries0 "${tries}"
else echo "state slot 0 is not valid"; fi
setenv seq; setenv good; setenv next; setenv tries
if load ${part} ${scratch_at} st1.env && env import -c ${scratch_at} 0x200 seq good next tries; then
  setenv seq1 ${seq}; setenv good1 "${good}"; setenv next1 "${next}"; setenv tries1 "${tries}"
else echo "state slot 1 is not valid"; fi
if itest ${seq1} -gt ${seq0}; then
  setenv other 0; setenv seq ${seq1}; setenv good "${good1}"; setenv next "${next1}"; setenv tries "${tries1}"
else
  setenv other 1; setenv seq ${seq0}; setenv good "${good0}"; setenv next "${next0}"; setenv tries "${tries0}"
fi
# Both slots are damaged, by somebody or by a dying card: only the first generation of the image is known to be there.
if test -z "${good}"; then setenv good 1; fi
echo "state: seq=${seq} good=${good} next=${next} tries=${tries}"

setenv chosen ${good}; setenv trial
if test -n "${next}" && test "${next}" != "${good}"; then
  if test -n "${tries}" && itest ${tries} -gt 0; then
    setexpr tries ${tries} - 1
    setexpr seq ${seq} + 1
    if env export -c -s 0x200 ${scratch_at} seq good next tries && save ${part} ${scratch_at} st${other}.env 0x200; then
      setenv chosen ${next}
      setenv trial "lichen.trial=${tries}"
      echo "trial of generation ${next}, ${tries} tries left"
    else
      # A try that cannot be counted could be repeated for ever.
      echo "the state cannot be written: staying with generation ${good}"
    fi
  else
    echo "generation ${next} is out of tries: back to ${good}"
  fi
fi

# Kernel arguments of this device alone, for debugging: `extra=…` in extra.env.
setenv extra
if load ${part} ${scratch_at} extra.env; then env import -t ${scratch_at} ${filesize} extra; fi

for generation in ${chosen} ${good}; do
  setenv kdir; setenv args
  if test "${generation}" = "${good}"; then setenv trial; fi
  if load ${part} ${scratch_at} gen/${generation}.env; then
    env import -t ${scratch_at} ${filesize} kdir args
    echo "booting generation ${generation} (${kdir})"
    if load ${part} ${kernel_at} ${kdir}/Image && load ${part} ${initrd_at} ${kdir}/initrd; then
      setenv initrd_size ${filesize}
      # The firmware's device tree knows the Pi 5's stepping and memory. The Pi 4's comes with the kernel, but
      # not on QEMU's raspi4b: it has no PCIe, says so in the tree that it hands over, and Linux's own would hang it.
      setenv fdt ${fdt_addr}; setenv console; setenv words
      if test "${board}" != "qemu-arm"; then
        setenv fdt ${fdtcontroladdr}; setenv console "console=tty1"
        if fdt addr ${fdtcontroladdr} && fdt get value pcie /scb/pcie@7d500000 compatible; then
          if load ${part} ${fdt_at} ${kdir}/dtb/${fdtfile}; then setenv fdt ${fdt_at}; fi
        fi
      fi
      # Memory that no reset clears: after the next boot it tells what a kernel said last when it panicked.
      if fdt addr ${fdt} && fdt move ${fdt} ${fdt_at} 0x140000 && fdt rsvmem add ${words_at} 0x20000; then
        setenv fdt ${fdt_at}; setenv words "ramoops.mem_address=0x${words_at} ramoops.mem_size=0x20000 ramoops.record_size=0x10000 ramoops.max_reason=1 ramoops.ecc=1"
      fi
      setenv bootargs "lichen.generation=${generation} ${trial} ${args} ${console} ${words} ${extra}"
      booti ${kernel_at} ${initrd_at}:${initrd_size} ${fdt}
      echo "generation ${generation} does not boot"
    fi
  fi
done
echo "nothing boots: trying again"
sleep 5
reset
