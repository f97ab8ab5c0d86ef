// swift-tools-version: 6.2
import PackageDescription

// The tests go without `.strictMemorySafety()`: the macros of Swift Testing expand to code that it would question.
let testSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    // `@_lifetime`, for views that cannot outlive what they look at. The packages that use the library need no flag.
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
]

let swiftSettings: [SwiftSetting] = testSettings + [.strictMemorySafety()]

let cSettings: [CSetting] = [
    .enableWarning("all"),
    .enableWarning("extra"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "swift-vfio",
    products: [
        .library(name: "VFIO", targets: ["VFIO"]),
        .library(name: "VFIOPassthrough", targets: ["VFIOPassthrough"]),
        .library(name: "VFIOMock", targets: ["VFIOMock"]),
        .library(name: "NVMe", targets: ["NVMe"]),
        .library(name: "VirtioNet", targets: ["VirtioNet"]),
        .executable(name: "vfioctl", targets: ["vfioctl"]),
        .executable(name: "nvmectl", targets: ["nvmectl"]),
        .executable(name: "netctl", targets: ["netctl"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        .target(name: "CVFIO", path: "CShims/CVFIO", cSettings: cSettings),
        .target(name: "CMMIO", path: "CShims/CMMIO", cSettings: cSettings),
        .target(name: "CVFIOMock", path: "CShims/CVFIOMock", cSettings: cSettings),
        .target(
            name: "VFIO",
            dependencies: ["CVFIO", "CMMIO", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: swiftSettings
        ),
        .target(
            name: "VFIOPassthrough",
            dependencies: ["VFIO", "CVFIO", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: swiftSettings
        ),
        .target(
            name: "VFIOMock",
            dependencies: [
                "VFIO", "VFIOPassthrough", "CVFIO", "CVFIOMock",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: swiftSettings
        ),
        // What all programs of the package share: that their output arrives.
        .target(
            name: "ProgramSupport",
            dependencies: [.product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "vfioctl",
            dependencies: [
                // The driver of the examples, for `vfioctl demo`.
                "Edu", "ProgramSupport", "VFIO", "VFIOMock",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "ExportBAR",
            dependencies: ["ExampleSupport", "VFIO", "VFIOMock"],
            path: "Examples/ExportBAR",
            swiftSettings: swiftSettings
        ),
        // What the examples share: a driver, and how they begin and end.
        .target(name: "Edu", dependencies: ["VFIO"], path: "Examples/Edu", swiftSettings: swiftSettings),
        .target(
            name: "ExampleSupport",
            dependencies: [
                "ProgramSupport", "VFIO", "VFIOMock", .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Examples/Support",
            swiftSettings: swiftSettings
        ),
        // What the two tools share besides.
        .target(
            name: "ToolSupport",
            dependencies: ["VFIO", "VFIOMock", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Examples/ToolSupport",
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "EduDriver",
            dependencies: ["Edu", "ExampleSupport", "VFIO", "VFIOMock"],
            path: "Examples/EduDriver",
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "PeerToPeer",
            dependencies: ["Edu", "ExampleSupport", "VFIO", "VFIOMock"],
            path: "Examples/PeerToPeer",
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "Type1Hazard",
            dependencies: ["Edu", "ExampleSupport", "VFIO", "VFIOMock"],
            path: "Examples/Type1Hazard",
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "ShareDMABuf",
            dependencies: [
                "Edu", "ExampleSupport", "ProgramSupport", "VFIO", "VFIOMock",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Examples/ShareDMABuf",
            swiftSettings: swiftSettings
        ),
        .target(name: "CKVM", path: "Examples/Passthrough/CKVM", cSettings: cSettings),
        .executableTarget(
            name: "Passthrough",
            dependencies: [
                "CKVM", "ExampleSupport", "VFIO", "VFIOMock", "VFIOPassthrough",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Examples/Passthrough",
            exclude: ["CKVM"],
            swiftSettings: swiftSettings
        ),
        .target(name: "NVMe", dependencies: ["VFIO"], path: "Examples/NVMe/Library", swiftSettings: swiftSettings),
        .executableTarget(
            name: "nvmectl",
            dependencies: [
                "ExampleSupport", "NVMe", "ProgramSupport", "ToolSupport", "VFIO", "VFIOMock",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Examples/NVMe/Tool",
            swiftSettings: swiftSettings
        ),
        .target(
            name: "VirtioNet",
            dependencies: ["VFIO", .product(name: "SystemPackage", package: "swift-system")],
            path: "Examples/VirtioNet/Library",
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "netctl",
            dependencies: [
                "ExampleSupport", "ProgramSupport", "ToolSupport", "VirtioNet", "VFIO", "VFIOMock",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Examples/VirtioNet/Tool",
            swiftSettings: swiftSettings
        ),
        // What several test targets share.
        .target(
            name: "TestSupport",
            dependencies: ["VFIO", "VFIOPassthrough", .product(name: "SystemPackage", package: "swift-system")],
            path: "Tests/Support",
            swiftSettings: testSettings
        ),
        .testTarget(
            name: "VFIOTests",
            dependencies: [
                "TestSupport", "VFIO", "VFIOPassthrough", "CVFIO",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            exclude: ["Recordings"],
            swiftSettings: testSettings
        ),
        .testTarget(
            name: "VFIOMockTests",
            dependencies: ["TestSupport", "VFIO", "VFIOMock", "VFIOPassthrough", "CVFIO"],
            swiftSettings: testSettings
        ),
        .testTarget(
            name: "ContractTests",
            dependencies: ["TestSupport", "VFIO", "VFIOMock", "VFIOPassthrough", "CVFIO"],
            path: "Tests/Contract",
            exclude: ["README.md", "Cases.md", "Coverage"],
            swiftSettings: testSettings
        ),
        .testTarget(
            name: "NVMeTests",
            dependencies: [
                "NVMe", "TestSupport", "VFIO", "VFIOMock", .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/NVMe",
            swiftSettings: testSettings
        ),
        .testTarget(
            name: "VirtioNetTests",
            dependencies: [
                "TestSupport", "VirtioNet", "VFIO", "VFIOMock",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/VirtioNet",
            swiftSettings: testSettings
        ),
        // Depends on the programs that it runs, so that they are built with it.
        .testTarget(
            name: "ProgramTests",
            dependencies: [
                "vfioctl", "nvmectl", "netctl", "ExportBAR", "Edu", "EduDriver", "ExampleSupport", "PeerToPeer",
                "Type1Hazard",
                "ShareDMABuf", "Passthrough", "TestSupport", "VFIO", "VFIOMock",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/Programs",
            swiftSettings: testSettings
        ),
    ],
    swiftLanguageModes: [.v6]
)

// Only for those who build the documentation: a plugin is nothing to burden the users of the library with.
if Context.environment["SWIFT_VFIO_DOCS"] != nil {
    package.dependencies.append(.package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"))
}
