/// A dma-buf of a picture, which stays good whatever becomes of the device.
final class PictureFile {
    let picture: MockPicture
    /// `nil` until it was given one, which may be empty.
    var name: String?

    init(_ picture: MockPicture) { self.picture = picture }

    var byteCount: UInt64 { UInt64(picture.byteCount) }
}
