import Testing

@Suite struct ExampleTests {
    private static let refusal =
        "cannot restore a mapping of a dma-buf (IOMMU_IOAS_MAP_FILE) for a dma-buf from elsewhere: No such device "
        + "(ENODEV): the exporter is being reset, is switched off, or has been closed"

    @Test(arguments: [
        (
            "ExportBAR",
            """
            exported 65536 bytes of BAR 2 of 0000:00:04.0: the dma-buf is live
            devices of this address space reach it at 0x1000: the mapping is live
            memory decode off: the mapping is revoked
            on again, and restored: the mapping is live

            """
        ),
        (
            "EduDriver",
            """
            0000:00:02.0 is an edu of version 1.0
            10! is 3628800
            through the device's buffer by DMA, seen by polling: "there and back again"
            and once more, told by the interrupt: "there and back again"
            5000 bytes at once were refused: the device's buffer has 4096
            from 0x101000, where nothing is mapped, it got "": \
            the mock IOMMU has recorded a fault, read(iova: 0x101000, by: 0000:00:02.0)

            """
        ),
        (
            "PeerToPeer",
            """
            BAR 2 of 0000:00:04.0 is at 0x2000 for 0000:00:02.0: live
            the device read it out of the other device: "from the CPU, by way of the BAR"
            and wrote into it: "from memory, by way of the device"
            0000:00:04.0 was reset: the mapping is revoked, the dma-buf live
            now the device reads "": \
            the mock IOMMU has recorded a fault, read(iova: 0x2000, by: 0000:00:02.0)
            restored: the mapping is live, and the device reads "what it may see again"

            """
        ),
        (
            "Type1Hazard",
            """
            type1: 0000:00:03.0 is closed, with its last descriptor and its last mapping
            type1: 0000:00:02.0 still reads its memory: "of the next owner of the device"
            iommufd: through a dma-buf 0000:00:02.0 reads "of the next owner of the device"
            iommufd: 0000:00:03.0 is closed: the mapping is dead
            iommufd: 0000:00:02.0 reads "": \
            the mock IOMMU has recorded a fault, read(iova: 0x2000, by: 0000:00:02.0)

            """
        ),
        (
            "ShareDMABuf",
            """
            exporter: BAR 2 of 0000:00:03.0 goes over the socket as a dma-buf
            importer: received 4096 bytes, which 0000:00:02.0 reaches at 0x2000
            importer: 0000:00:02.0 reads "hello from another process"
            exporter: its memory now holds "an answer, by DMA"
            exporter: memory decode of 0000:00:03.0 is off: the dma-buf is revoked
            importer: as far as it knows the mapping is live, but 0000:00:02.0 reads ""
            importer: it cannot be restored: \(Self.refusal)
            exporter: memory decode is on again: the dma-buf is live
            importer: restored, 0000:00:02.0 reads "hello again"
            exporter: the device is closed
            importer: 0000:00:02.0 reads ""
            importer: it cannot be restored, now for good: \(Self.refusal)

            """
        ),
        (
            "Passthrough",
            """
            memory: 0x0...0xfffff is the guest's, and 0000:00:02.0 finds it there as well
            registers: BAR 0 is at 0xc0000000 for the guest, in memory slots [1]
            interrupt: the device's MSI is vector 64 of the guest's processor
            the mock's machines have no processors: this is how far it goes

            """
        ),
    ]) func tells(_ program: String, _ story: String) throws {
        #expect(try Program(name: program).succeed().output == story)
    }

    @Test(arguments: [
        ("ExportBAR", "[0000:00:04.0]"), ("EduDriver", "[0000:00:02.0]"), ("Passthrough", "[0000:00:02.0]"),
        ("PeerToPeer", "[0000:00:02.0 0000:00:04.0]"),
        ("Type1Hazard", "[0000:00:02.0 0000:00:03.0]"),
        ("ShareDMABuf", "[0000:00:02.0 0000:00:03.0]"),
    ])
    func saysHowItIsUsed(_ program: String, _ devices: String) throws {
        for arguments in [["nonsense"], ["0000:00:02.0", "nonsense"], ["00:02.0", "00:03.0", "00:04.0"]] {
            let result = try Program(name: program).run(arguments: arguments)
            #expect(result.status == 64)
            #expect(result.output == "")
            #expect(result.errors == "usage: \(program) \(devices)\n")
        }
    }

    @Test(arguments: ["--help", "-h"]) func helps(_ option: String) throws {
        let result = try Program(name: "PeerToPeer").succeed(option)
        #expect(
            result.output == """
                A device does DMA in another's memory through a dma-buf, until the kernel takes it away. Needs iommufd.

                usage: PeerToPeer [0000:00:02.0 0000:00:04.0]

                Without arguments it runs on a mock kernel, in memory, and touches nothing of this machine. With the addresses of
                devices it runs on the real kernel. They have to be bound to vfio-pci (`vfioctl bind`), and in this order to be:

                    0000:00:02.0  QEMU's edu, which does the DMA
                    0000:00:04.0  any device whose BAR 2 is memory; its start is overwritten

                These addresses are those of the mock and of the project's lab; on other machines they are others.

                """)
    }

    @Test(arguments: ["ExportBAR", "EduDriver", "PeerToPeer", "Type1Hazard", "ShareDMABuf", "Passthrough"])
    func eachHelps(_ program: String) throws {
        for arguments in [["--help"], ["0000:00:02.0", "-h"]] {
            let result = try Program(name: program).succeed(arguments: arguments)
            #expect(result.output.contains("\n\nusage: \(program) [0000:00:0"))
        }
    }
}
