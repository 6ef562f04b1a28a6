# SPDX-License-Identifier: Apache-2.0
"""A container whose chosen program, and only it, is restricted."""

from containers import Bundle, TestCase, entry, profile, program, status  # noqa: F401


class Basics(TestCase):
    def test_only_the_target_is_restricted(self):
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            result = bundle.shell(runtime, """
                /bin/probe read /etc/secret + nnp
                /bin/target read /etc/secret + read /allowed/file + nnp
                /bin/probe read /etc/secret
            """)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout.splitlines(), [
                "read /etc/secret: allowed", "no_new_privs: 0",
                "read /etc/secret: Permission denied", "read /allowed/file: allowed", "no_new_privs: 1",
                "read /etc/secret: allowed",
            ])
            self.assertNothingLeft()
