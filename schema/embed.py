#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a JSON Schema into a C++ source file: embed.py INPUT.json OUTPUT.cpp

profileSchema() is the file as it is, for people. The hook compiles the schema at each start, so it gets a second
form without descriptions and white space.
"""
import json
import sys


def strip(node, names=False):
    """Without annotations; in a `names` object the keys are names of the document, not keywords."""
    if isinstance(node, dict):
        return {
            key: strip(value, not names and key in ("properties", "definitions"))
            for key, value in node.items()
            if names or key not in ("description", "title", "$schema")
        }
    if isinstance(node, list):
        return [strip(item) for item in node]
    return node


def literal(text):
    # Compilers must take 64 KiB in one literal; keep pieces short enough to read in an editor.
    pieces = [text[i : i + 2000] for i in range(0, len(text), 2000)]
    return "\n".join(f'R"json({piece})json"' for piece in pieces)


source, target = sys.argv[1:]
with open(source, encoding="utf-8") as file:
    text = file.read()
compact = json.dumps(strip(json.loads(text)), separators=(",", ":"), ensure_ascii=False)
with open(target, "w", encoding="utf-8") as file:
    file.write(
        "// SPDX-License-Identifier: Apache-2.0\n"
        "// Made by schema/embed.py; do not edit.\n"
        '#include "profile/schema.hpp"\n\n'
        "namespace profile {\n\n"
        f"std::string_view profileSchema()\n{{\n    return {literal(text)};\n}}\n\n"
        f"std::string_view compactSchema()\n{{\n    return {literal(compact)};\n}}\n\n"
        "}  // namespace profile\n"
    )
