import VFIO
import Glibc

func edu(_ d: borrowing Device, copy count: UInt64, from s: UInt64, to t: UInt64, toRAM: Bool) throws {
    try d.withRegisters(.bar0) { r in
        r.write64(s, at: 0x80); r.write64(t, at: 0x88); r.write64(count, at: 0x90)
        r.write64(toRAM ? 3 : 1, at: 0x98)
        while r.read64(at: 0x98) & 1 != 0 { usleep(1000) }
    }
}
let space = try AddressSpace()
print("interface", space.interface)
let a = try Device(at: "0000:00:02.0", in: space)
let b = try Device(at: "0000:00:03.0", in: space)
let c = try Device(at: "0000:00:04.0", in: space)
for i in 0..<8 { print(try a.region(RegionIndex(rawValue: UInt32(i)))) }
for i in 0..<8 { print(try b.region(RegionIndex(rawValue: UInt32(i)))) }
for i in 0..<8 { print(try c.region(RegionIndex(rawValue: UInt32(i)))) }
print(try space.iovaRanges(), try space.mappingAlignment())
print("cmd", try a.config.command(), a.info, b.info, c.info)
for k in [InterruptIndex.intx, .msi, .msix, .error, .request] {
  do { let x = try a.interrupts(k); print(k, x.count, x.isMaskable, x.isAutomasked, x.isFixedSize) } catch { print(error) }
  do { let x = try c.interrupts(k); print(k, x.count, x.isMaskable, x.isAutomasked, x.isFixedSize) } catch { print(error) }
}
for f in 0..<14 { print("feature", f, try a.supports(DeviceFeature(rawValue: UInt32(f)))) }
try a.config.updateCommand { $0.insert(.busMaster) }
print("edu id", String(try a.withRegisters(.bar0) { r in r.read32(at: 0) }, radix: 16))
let buf = try space.allocate(byteCount: 4096)
print("iova", buf.iova)
buf.memory.write32(0xC0FFEE, at: 0)
let v = try a.interrupts(.msi).enable()
try edu(a, copy: 8, from: buf.iova.rawValue, to: 0x40000, toRAM: false)
try edu(a, copy: 8, from: 0x40000, to: buf.iova.rawValue + 16, toRAM: true)
print(String(buf.memory.read32(at: 16), radix: 16))
try a.withRegisters(.bar0) { r in r.write32(1, at: 0x60) }
print("msi", try v.wait(timeout: .seconds(2)) as Any)
if space.interface == .iommufd {
  let w = try c.exportDMABuf(of: .bar2, 0..<65536)
  try w.setName("hello")
  let m = try c.map(.bar2)
  m.memory.write32(0xDEADBEEF, at: 0)
  let p = try space.map(w)
  print("peer", p.iova, p.state)
  func check() throws {
  try edu(a, copy: 8, from: p.iova.rawValue, to: 0x40000, toRAM: false)
  try edu(a, copy: 8, from: 0x40000, to: buf.iova.rawValue + 32, toRAM: true)
  print("peer read", String(buf.memory.read32(at: 32), radix: 16)) }
  try check()
  try c.reset()
  print(p.state)
  try check()
  try p.restore()
  print(p.state, String(m.memory.read32(at: 0), radix: 16))
  try check()
}
