#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a JSON Schema into a C++ source file: embed.py INPUT.json OUTPUT.cpp

profileSchema() is the file as it is, for people; schemaRules() has its rules as tables, for to parse it took the hook
longer than to read a profile by it. Fails at a keyword that src/profile/schema.cpp does not know.
"""
import json
import sys

# What says something to people only, or is resolved here.
SILENT = {"$schema", "title", "description", "definitions"}
KNOWN = {"type", "enum", "minimum", "maximum", "items", "properties", "additionalProperties", "required", "if", "then",
         "else", "anyOf", *(end + what for end in ("min", "max") for what in ("Length", "Items", "Properties"))}
COUNTED = {"Length": "string", "Items": "array", "Properties": "object"}


class Tables:
    """Rules refer to each other, and to names, by their places in these lists."""

    def __init__(self, schema):
        self.definitions = {f"#/definitions/{name}": node for name, node in schema.get("definitions", {}).items()}
        self.made = {}
        self.rules = []
        self.members = []
        self.names = []
        self.options = []
        self.rule(schema)

    def range(self, table, items):
        if not items:
            return "{}"
        table += items
        return f"{{{len(table) - len(items)}, {len(items)}}}"

    def strings(self, words):
        return self.range(self.names, [json.dumps(word) for word in words])

    def rule(self, node):
        """The rule's place."""
        if "$ref" in node:
            if set(node) - SILENT != {"$ref"}:
                raise SystemExit(f"beside $ref: {node}")
            if node["$ref"] not in self.made:
                self.rule_of(self.definitions[node["$ref"]], lambda place: self.made.update({node["$ref"]: place}))
            return self.made[node["$ref"]]
        return self.rule_of(node, lambda place: None)

    def rule_of(self, node, note):
        if set(node) - SILENT - KNOWN:
            raise SystemExit(f"unknown keywords: {sorted(set(node) - SILENT - KNOWN)}")
        place = len(self.rules)
        self.rules.append(None)
        note(place)  # before those below it, which may refer to it
        fields = []
        if "type" in node:
            fields.append(f".type = Type::{node['type']}")
        if node.get("enum") == [True]:
            fields.append(".onlyTrue = true")
        elif "enum" in node:
            fields.append(f".allowed = {self.strings(node['enum'])}")
        for bound in ("minimum", "maximum"):
            if bound in node:
                fields.append(f".{bound} = {node[bound]}")
        for what, kind in COUNTED.items():
            least, most = node.get("min" + what), node.get("max" + what)
            if least is not None or most is not None:
                fields.append(f".counted = Type::{kind}, .least = {least or 0}" +
                              (f", .most = {most}" if most is not None else ""))
        if "items" in node:
            fields.append(f".items = {self.rule(node['items'])}")
        if "properties" in node:
            found = [(json.dumps(name), self.rule(below)) for name, below in sorted(node["properties"].items())]
            fields.append(f".properties = {self.range(self.members, [f'{{{name}, {at}}}' for name, at in found])}")
        if "additionalProperties" in node:
            if node["additionalProperties"] is not False:
                raise SystemExit("additionalProperties can be false only")
            fields.append(".closed = true")
        if "required" in node:
            fields.append(f".required = {self.strings(node['required'])}")
        if "if" in node and not {"then", "else"} <= set(node):
            raise SystemExit(f"if without then and else: {node}")
        if not all(option.get("required") for option in node.get("anyOf", [])):
            raise SystemExit("each option of anyOf has to name what it requires")
        for keyword, field in (("if", "condition"), ("then", "then"), ("else", "otherwise")):
            if keyword in node:
                fields.append(f".{field} = {self.rule(node[keyword])}")
        if "anyOf" in node:
            fields.append(f".anyOf = {self.range(self.options, [str(self.rule(option)) for option in node['anyOf']])}")
        self.rules[place] = f"{{{', '.join(fields)}}}"
        return place


def literal(text):
    # Compilers must take 64 KiB in one literal; keep pieces short enough to read in an editor.
    pieces = [text[i : i + 2000] for i in range(0, len(text), 2000)]
    return "\n".join(f'R"json({piece})json"' for piece in pieces)


def table(kind, name, items):
    return f"constexpr {kind} {name}[] = {{\n" + "".join(f"    {item},\n" for item in items) + "};\n\n"


source, target = sys.argv[1:]
with open(source, encoding="utf-8") as file:
    text = file.read()
tables = Tables(json.loads(text))
with open(target, "w", encoding="utf-8") as file:
    file.write(
        "// SPDX-License-Identifier: Apache-2.0\n"
        "// Made by schema/embed.py; do not edit.\n"
        '#include "profile/schema.hpp"\n\n'
        "namespace profile {\n\n"
        f"std::string_view profileSchema()\n{{\n    return {literal(text)};\n}}\n\n"
        "namespace {\n\n"
        "using Type = SchemaRule::Type;\n\n" +
        table("SchemaRule", "schemaRuleTable", tables.rules) +
        table("SchemaRules::Member", "schemaMembers", tables.members) +
        table("std::string_view", "schemaNames", tables.names) +
        table("std::uint16_t", "schemaOptions", tables.options) +
        "}  // namespace\n\n"
        "SchemaRules schemaRules()\n{\n"
        "    return {schemaRuleTable, schemaMembers, schemaNames, schemaOptions};\n}\n\n"
        "}  // namespace profile\n"
    )
