"""Write a CycloneDX 1.6 bill of materials of a server: `python .ci/sbom.py FILE`.

Versions and hashes are those of .ci/requirements/server.txt, for the Python and platform that run this. Licenses and
dependencies come from the metadata of the installed packages.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKED = ROOT / ".ci/requirements/server.txt"


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the locked set. `hashes` are the SHA-256 of each file of its release, of which pip installs one."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def purl(self) -> PackageURL:
        """The package URL, which also identifies the package in the bill of materials."""
        return PackageURL("pypi", name=self.name, version=self.version)


def main(path: str) -> None:
    """Write the bill of materials. It differs only in its time if nothing has changed; SOURCE_DATE_EPOCH sets that."""
    Path(path).write_text(JsonV1Dot6(bill_of_materials()).output_as_string(indent=2) + "\n", "utf-8")
    print(f"sbom: {path}")


def bill_of_materials() -> Bom:
    """Return the server as the subject, its packages as components, and which package requires which."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    root = Component(
        type=ComponentType.APPLICATION,
        name=project["name"],
        version=project["version"],
        bom_ref=project["name"],
        purl=PackageURL("pypi", name=project["name"], version=project["version"]),
        description=project["description"],
        licenses=[LicenseFactory().make_from_string(project["license"])],
    )
    text = LOCKED.read_text("utf-8")
    components = {package.name: component(package) for package in packages(text)}
    time = (
        datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC) if "SOURCE_DATE_EPOCH" in os.environ else None
    )

    bom = Bom(components=components.values(), serial_number=uuid5(NAMESPACE_URL, f"{root.purl}\n{text}"))
    bom.metadata.component = root
    bom.metadata.timestamp = time or datetime.now(UTC)
    required = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    bom.register_dependency(root, [components[name] for name in names(required)])
    for name, part in components.items():
        bom.register_dependency(part, [components[other] for other in names(metadata.requires(name) or ())])
    return bom


def packages(text: str) -> Iterator[Package]:
    """Yield the packages of a locked set that this Python and platform need."""
    for entry in re.split(r"\n(?=\w)", text):
        requirement, *hashes = re.split(r"\s*\\\n\s*--hash=sha256:", re.sub(r"(?m)^\s*#.*\n?", "", entry).strip())
        if not hashes:
            continue
        pinned = Requirement(requirement)
        if pinned.marker is None or pinned.marker.evaluate():
            yield Package(canonicalize_name(pinned.name), str(pinned.specifier).removeprefix("=="), tuple(hashes))


def component(package: Package) -> Component:
    """Return a package with its license and hashes. Raises ValueError if another version is installed."""
    installed = metadata.metadata(package.name)
    if installed["Version"] != package.version:
        raise ValueError(f"{package.name} {package.version} is not installed: run 'make install'")
    license_name = installed.get("License-Expression") or installed.get("License") or classified_license(installed)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.hashes]
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=str(package.purl),
        purl=package.purl,
        description=installed.get("Summary"),
        licenses=[LicenseFactory().make_from_string(license_name)] if license_name else (),
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(str(package.purl)),
                comment="One of these files is installed.",
                hashes=hashes,
            )
        ],
    )


def classified_license(installed: metadata.PackageMetadata) -> str:
    """Return the license that the classifiers of older metadata name, such as "MIT License"."""
    classifiers = installed.get_all("Classifier") or ()
    return next((one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")), "")


def names(requirements: Iterable[str]) -> set[str]:
    """Return the names of the required packages that this Python and platform need, without those of extras."""
    parsed = map(Requirement, requirements)
    return {canonicalize_name(one.name) for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})}


if __name__ == "__main__":
    main(sys.argv[1])
