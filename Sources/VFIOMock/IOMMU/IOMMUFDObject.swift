import SystemPackage

/// An object of an iommufd. An instance of this class itself is a tombstone: the object was destroyed with its device,
/// and the number stays in use.
class IOMMUFDObject {
    fileprivate(set) var id: UInt32 = 0
    /// The number of devices, open files and objects that reference it.
    var users = 0

    init() {}

    func destroyed() {}
}

/// A queue of an iommufd that is read through a file of its own, which holds the object and the iommufd.
protocol IOMMUFDQueue: IOMMUFDObject, FileOperations {
    var iommufd: OpenFile { get }
    var pipe: Readiness { get }
}

extension IOMMUFDQueue {
    var readiness: Readiness? { pipe }
    var isStream: Bool { true }

    func opened(as file: OpenFile) {
        users += 1
        iommufd.hold()
    }

    func release() {
        users -= 1
        iommufd.release()
    }
}

struct IOMMUFDObjects {
    private var objects: [UInt32: IOMMUFDObject] = [:]
    /// The number of the next object: the lowest free one, from 1.
    private(set) var nextID: UInt32 = 1

    var isEmpty: Bool { objects.isEmpty }

    subscript(id: UInt32) -> IOMMUFDObject? { objects[id] }

    var all: [IOMMUFDObject] { objects.values.sorted { $0.id < $1.id } }

    mutating func add(_ object: IOMMUFDObject) {
        object.id = nextID
        objects[nextID] = object
        while objects[nextID] != nil { nextID += 1 }
    }

    mutating func remove(_ object: IOMMUFDObject) {
        objects[object.id] = nil
        nextID = min(nextID, object.id)
        object.destroyed()
    }

    /// Destroys an object and keeps its number in use.
    mutating func bury(_ object: IOMMUFDObject) {
        let grave = IOMMUFDObject()
        grave.id = object.id
        objects[object.id] = grave
        object.destroyed()
    }

    mutating func removeAll() {
        for object in all.reversed() { object.destroyed() }
        self = IOMMUFDObjects()
    }
}
