package import Testing
package import VFIO

extension VolatileMemory where Self: ~Copyable {
    package func expect(_ bytes: [UInt8], at offset: Int = 0, sourceLocation: SourceLocation = #_sourceLocation) {
        let found = self.bytes(at: offset, count: bytes.count)
        #expect(found == bytes, sourceLocation: sourceLocation)
    }
}

/// Ends the life of an owner.
package func discard<Owner: ~Copyable>(_ owner: consuming Owner) {}
