import CVFIO
import SystemPackage
import Testing

@testable import VFIO

extension Contract {
    /// Mediated devices: the kernel's sample mtty, made by its UUID.
    @Suite struct MediatedDeviceTests {
        private let one: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
        private let two: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"

        @Test("a mediated device is opened by its UUID", arguments: Scenario.all)
        func open(_ scenario: Scenario) throws {
            try scenario.run { bench in
                try bench.withSerialPorts([one, two]) {
                    let space = try bench.makeSpace()
                    let device = try Device(mediated: one, in: space)
                    let other = try Device(mediated: two, in: space)
                    #expect(device.address == .mediated(one))
                    #expect(device.address.pci == nil)
                    #expect(device.info.isPCI)
                    #expect(device.info.canReset == false)
                    #expect(device.info.regionCount == 9)
                    #expect(try device.config.read32(at: 0) == 0x3253_4348)
                    #expect(try device.region(.bar0).byteCount == 8)
                    #expect(try device.region(.bar0).isMappable == false)
                    #expect(try device.region(.bar1).byteCount == 0)
                    try other.close()
                    try device.close()
                }
            }
        }

        @Test("its registers are answered by the driver", arguments: Scenario.all)
        func registers(_ scenario: Scenario) throws {
            try scenario.run { bench in
                try bench.withSerialPorts([one]) {
                    let device = try Device(mediated: one, in: try bench.makeSpace())
                    try device.withRegisters(.bar0) { registers in
                        for byte in Array("loop".utf8) { registers.write8(byte, at: 0) }
                        #expect(registers.read8(at: 5) & 1 == 1)
                        #expect((0..<4).map { _ in registers.read8(at: 0) } == Array("loop".utf8))
                        #expect(registers.read8(at: 5) & 1 == 0)
                    }
                    try device.close()
                }
            }
        }

        @Test("features of vfio-pci are not a mediated device's", arguments: Scenario.all)
        func features(_ scenario: Scenario) throws {
            try scenario.run { bench in
                try bench.withSerialPorts([one]) {
                    let device = try Device(mediated: one, in: try bench.makeSpace())
                    #expect(try device.supports(.dmaBuf) == false)
                    #expect(try device.supports(.lowPower) == false)
                    #expect(try device.supports(.migration))
                    #expect(try device.supports(.dmaLogging))
                    try device.close()
                }
            }
        }

        @Test("it has one owner", arguments: Scenario.all)
        func busy(_ scenario: Scenario) throws {
            try scenario.run { bench in
                try bench.withSerialPorts([one]) {
                    let space = try bench.makeSpace()
                    let device = try Device(mediated: one, in: space)
                    let other = try bench.makeSpace()
                    expectRefusal(.busy, scenario.usesIOMMUFD ? .invalidArgument : .resourceBusy) {
                        _ = try Device(mediated: one, in: other)
                    }
                    try device.close()
                    try Device(mediated: one, in: other).close()
                }
            }
        }

        @Test("a UUID without a device is not found, and the error names it", arguments: Scenario.all)
        func notThere(_ scenario: Scenario) throws {
            try scenario.run { bench in
                let space = try bench.makeSpace()
                let error = #expect(throws: VFIOError.self) { _ = try Device(mediated: two, in: space) }
                #expect(error?.code == .notFound)
                #expect(error?.subject == "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002")
                #expect(error?.hint?.contains("mdev_supported_types") == true)
            }
        }

        @Test("making one: what sysfs refuses", arguments: Scenario.all)
        func create(_ scenario: Scenario) throws {
            try scenario.run { bench in
                guard bench.offer.hasMediatedDevices else { return try bench.withSerialPorts([one]) {} }
                try bench.withSerialPorts([one]) {
                    let create = Bench.mediatedTypes.appending("mtty-1").appending("create")
                    #expect(throws: Errno.fileExists) { try bench.kernel.writeFile(create, Array("\(one)".utf8)) }
                    #expect(throws: Errno.invalidArgument) { try bench.kernel.writeFile(create, Array("no".utf8)) }
                }
            }
        }

        @Test("a parent makes so many, and then no more", arguments: Scenario.all)
        func limit(_ scenario: Scenario) throws {
            try scenario.run { bench in
                // mtty has 24 ports.
                let all = try (10..<34).map { try #require(DeviceUUID("4d4d4d4d-4d4d-4d4d-4d4d-4d4d4d4d4d\($0)")) }
                guard bench.offer.hasMediatedDevices else { return try bench.withSerialPorts([one]) {} }
                try bench.withSerialPorts(all) {
                    let create = Bench.mediatedTypes.appending("mtty-1").appending("create")
                    #expect(throws: Errno.noSpace) { try bench.kernel.writeFile(create, Array("\(one)".utf8)) }
                }
            }
        }
    }
}
