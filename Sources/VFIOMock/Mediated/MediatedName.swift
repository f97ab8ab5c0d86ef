import VFIO

/// What a mediated device is called, and who made it.
struct MediatedName {
    let uuid: DeviceUUID
    let parent: MediatedParent
}
