import Testing

@Suite struct ExampleTests {
    @Test func exportBAR() throws {
        let result = try Program(name: "ExportBAR").run()
        #expect(result.status == 0)
        #expect(
            result.output == """
                exported 65536 bytes of BAR 2 of 0000:00:04.0: the dma-buf is live
                devices of this address space reach it at 0x1000: the mapping is live
                memory decode off: the mapping is revoked
                on again, and restored: the mapping is live

                """)
    }

    @Test func exportBARSaysHowItIsUsed() throws {
        let result = try Program(name: "ExportBAR").run("nonsense")
        #expect(result.status == 64)
        #expect(result.errors == "usage: ExportBAR [0000:00:04.0]\n")
    }
}
