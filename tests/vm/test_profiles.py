# SPDX-License-Identifier: Apache-2.0
"""The profiles that are installed, each with the real program from Debian: it works, and what its description says is
protected is."""

import contextlib
import os
import shutil

from containers import TestCase, install_profiles

DIRECTORY = "/etc/oci-landlock/profiles"


class Profiles(TestCase):
    @classmethod
    def setUpClass(cls):
        install_profiles(DIRECTORY)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree("/etc/oci-landlock")

    def prepared(self, name):
        bundle = self.debian()
        bundle.write("opt/data", "data\n")
        bundle.annotate(name)
        return bundle

    @contextlib.contextmanager
    def serving(self, name, script, own=None):
        """`own`: a directory that its package makes at boot."""
        bundle = self.prepared(name)
        if own:
            bundle.memory_at(own)
        with bundle.running("crun", bundle.script("entrypoint.sh", script)) as container:
            self.assertEqual(container.code, 0, container.output())
            yield bundle, container

    def test_nginx(self):
        config = """
            daemon off; user www-data; pid /run/nginx.pid; error_log /var/log/nginx/error.log; events {}
            http { access_log off; server { listen 127.0.0.1:80; root /var/www/html;
                location = /data { alias /opt/data; }
                location /open/ { alias /opt/open/; dav_methods PUT; }
                location /upstream { proxy_pass http://127.0.0.1:7777/; } } }
        """
        bundle = self.prepared("nginx")
        bundle.write("etc/nginx/test.conf", config)
        os.makedirs(bundle.path("var/www/html"), exist_ok=True)
        bundle.write("var/www/html/index.html", "the page\n")
        script = bundle.script("entrypoint.sh", "exec /usr/sbin/nginx -c /etc/nginx/test.conf\n")
        with bundle.running("crun", script) as container:
            self.assertEqual(container.code, 0, container.output())
            container.wait_for_answer("the page", "curl", "-s", "http://127.0.0.1/")
            code = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}")
            self.assertEqual(container.client(*code, "http://127.0.0.1/data").stdout, "403")
            put = container.client(*code, "-X", "PUT", "-d", "x", "http://127.0.0.1/open/new")
            self.assertNotEqual(put.stdout, "201")
            self.assertFalse(os.path.exists(bundle.path("opt/open/new")))
            self.assertEqual(container.client(*code, "http://127.0.0.1/upstream").stdout, "502")
            with open(bundle.path("var/log/nginx/error.log"), encoding="utf-8") as log:
                self.assertIn("connect() to 127.0.0.1:7777 failed (13: Permission denied)", log.read())

    def test_redis(self):
        script = ("cd /var/lib/redis && exec /usr/bin/redis-server --save '' --daemonize no --dir /var/lib/redis "
                  "--enable-protected-configs yes\n")
        with self.serving("redis", script) as (bundle, container):
            def ask(*words):
                return container.client("redis-cli", *words).stdout.strip()

            container.wait_for_answer("PONG", "redis-cli", "ping")
            self.assertEqual(ask("set", "key", "value"), "OK")
            self.assertEqual(ask("save"), "OK")
            self.assertTrue(os.path.exists(bundle.path("var/lib/redis/dump.rdb")))
            self.assertEqual(ask("config", "set", "dir", "/opt/open"), "OK")
            self.assertIn("ERR", ask("save"))
            self.assertEqual(os.listdir(bundle.path("opt/open")), [])

    def test_postgresql(self):
        versions = os.listdir("/usr/lib/postgresql")
        binaries = f"/usr/lib/postgresql/{versions[0]}/bin"
        script = f"""
            cd /tmp; mkdir -p /var/lib/postgresql/test; chown -R postgres /var/lib/postgresql
            as() {{ setpriv --reuid postgres --regid postgres --clear-groups "$@"; }}
            as {binaries}/initdb -A trust -N -D /var/lib/postgresql/test >/dev/null || exit 1
            as {binaries}/postgres -D /var/lib/postgresql/test -k /run/postgresql -c listen_addresses=127.0.0.1
        """
        with self.serving("postgresql", script, own="/run/postgresql") as (bundle, container):
            def ask(query):
                return container.client("psql", "-h", "127.0.0.1", "-U", "postgres", "-tAc", query)

            container.wait_for_answer("1", "psql", "-h", "127.0.0.1", "-U", "postgres", "-tAc", "select 1", seconds=180)
            self.assertEqual(ask("create table t as select 42 as n; checkpoint; select n from t").stdout.split()[-1],
                             "42")
            self.assertIn("Permission denied", ask("copy (select 1) to '/opt/open/file'").stderr)
            self.assertIn("Permission denied", ask("select pg_read_file('/opt/data')").stderr)
            self.assertEqual(os.listdir(bundle.path("opt/open")), [])

    def test_python_http_server(self):
        bundle = self.prepared("python-http-server")
        os.makedirs(bundle.path("srv/site"), exist_ok=True)
        bundle.write("srv/site/index.html", "the page\n")
        os.symlink("/opt/data", bundle.path("srv/site/data"))
        with bundle.running("crun", "/usr/bin/python3", "-m", "http.server", "8000", "--directory", "/srv/site") as container:
            self.assertEqual(container.code, 0, container.output())
            container.wait_for_answer("the page", "curl", "-s", "http://127.0.0.1:8000/")
            code = container.client("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                                    "http://127.0.0.1:8000/data")
            self.assertEqual(code.stdout, "404")
        other = self.prepared("python-http-server")
        refused = other.run("crun", "/usr/bin/python3", "-m", "http.server", "8001")
        self.assertIn("Permission denied", refused.stderr + refused.stdout)

    def test_deny_network(self):
        connect = "import socket\ntry: socket.create_connection(('127.0.0.1', 1))\nexcept OSError as e: print(e.errno)"
        bind = "import socket\ntry: socket.create_server(('127.0.0.1', 8000)); print('bound')\nexcept OSError as e: print(e.errno)"
        bundle = self.prepared("deny-network")
        result = bundle.run("crun", "/usr/bin/python3", "-c", connect + "\n" + bind)
        self.assertEqual(result.stdout.split(), ["13", "13"], result.stderr)
        free = self.prepared("deny-network")
        free.config["annotations"] = {}
        result = free.run("crun", "/usr/bin/python3", "-c", connect + "\n" + bind)
        self.assertEqual(result.stdout.split(), ["111", "bound"], result.stderr)

    def test_read_only_root(self):
        bundle = self.prepared("read-only-root")
        result = bundle.shell("crun", "cat /opt/data; ls / >/dev/null && echo listed; echo x > /tmp/f && echo wrote\n"
                                      "echo x > /opt/new; echo x >> /etc/passwd; rm /opt/data; echo x > /dev/null && echo null\n")
        self.assertEqual(result.stdout.split(), ["data", "listed", "wrote", "null"], result.stderr)
        self.assertEqual(result.stderr.count("Permission denied"), 3, result.stderr)
        self.assertTrue(os.path.exists(bundle.path("opt/data")))

    def test_toolbox(self):
        bundle = self.prepared("toolbox")
        script = bundle.script("root/look.sh", "grep -c root: /etc/passwd; echo x > /root/f && cat /root/f\n"
                               "cat /opt/data; echo x > /etc/new; echo end\n")
        result = bundle.run("crun", script)
        self.assertEqual(result.stdout.split(), ["1", "x", "end"], result.stderr)
        self.assertEqual(result.stderr.count("Permission denied"), 2, result.stderr)
