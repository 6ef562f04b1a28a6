# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes of one node: etcd, kube-apiserver and kubelet, which harness/run --kubernetes brings. Nothing schedules
and nothing controls: pods are made by hand, and get their node here."""

import functools
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request

import cases
from applier import SOURCE
from containers import command

PROGRAMS = os.path.join(SOURCE, "kubernetes")
HELM = os.path.join(PROGRAMS, "helm")
STATE = "/var/lib/kubernetes"  # on the disk: a node may boot again
NODE = "vm"
ADDRESS = "192.168.77.1"
SERVER = "https://127.0.0.1:6443"
STORE = "http://127.0.0.1:2379"
TOKEN = "administrator"
PODS = "/api/v1/namespaces/default/pods"
# What kubectl and kubelet want of the server: it is up in a third of the time without the rest.
APIS = ("api/v1", "apps/v1", "node.k8s.io/v1", "coordination.k8s.io/v1", "storage.k8s.io/v1",
        "apiregistration.k8s.io/v1", "apiextensions.k8s.io/v1")
ADMISSION_OFF = ("CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction", "DefaultIngressClass",
                 "DefaultStorageClass", "LimitRanger", "MutatingAdmissionWebhook", "PersistentVolumeClaimResize",
                 "Priority", "ResourceQuota", "ServiceAccount", "StorageObjectInUseProtection",
                 "ValidatingAdmissionWebhook")
NETWORK = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": {"type": "host-local", "subnet": "10.88.0.0/16"}}]}
# Whoever asks more often keeps an emulated node from doing it.
wait_for = functools.partial(cases.wait_for, seconds=600, pause=0.5)


class Failed(Exception):
    """What the server says of a request."""


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(content if isinstance(content, str) else json.dumps(content))


def api(method, path, body=None):
    """The server's answer: an object, or a text where it is none."""
    request = urllib.request.Request(SERVER + path, method=method, data=body and json.dumps(body).encode(), headers={
        "Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"})
    try:
        # It has made its certificate itself.
        with urllib.request.urlopen(request, timeout=120, context=ssl._create_unverified_context()) as answer:
            text = answer.read().decode()
            return json.loads(text) if "json" in answer.headers["Content-Type"] else text
    except urllib.error.HTTPError as error:
        raise Failed(error.read().decode()) from None


def kubectl(*words, **options):
    return command("kubectl", *words, timeout=300, **options)


class Process:
    """A program that runs on the node until it is stopped, or killed."""

    def __init__(self, name, *words):
        self.log = f"{STATE}/{name}.log"
        self.words = words
        self.process = None

    def start(self):
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for(self, condition, what):
        def holds():
            assert self.process.poll() is None, f"{self.words[0]} has ended: {self.said()[-3000:]}"
            return condition()
        wait_for(holds, what, said=lambda: f"{self.words[0]}: {self.said()[-3000:]}")

    def kill(self):
        self.process.kill()
        self.process.wait(60 * cases.PATIENCE)


def ready():
    try:
        return api("GET", "/readyz") == "ok"
    except (Failed, OSError):
        return False


def node_ready():
    try:
        conditions = api("GET", f"/api/v1/nodes/{NODE}")["status"]["conditions"]
    except Failed:
        return False
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


class Cluster:
    """containerd is there by now. `driver`: who makes cgroups."""

    def __init__(self, driver="cgroupfs"):
        os.makedirs(STATE, exist_ok=True)
        write("/etc/cni/net.d/10-pods.conflist", NETWORK)
        command("ip", "address", "replace", ADDRESS + "/32", "dev", "lo", check=True)
        user = {"name": "administrator", "user": {"token": TOKEN}}
        cluster = {"name": "cluster", "cluster": {"server": SERVER, "insecure-skip-tls-verify": True}}
        write("/root/.kube/config", {
            "apiVersion": "v1", "kind": "Config", "users": [user], "clusters": [cluster], "current-context": "cluster",
            "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "administrator"}}]})
        write(f"{STATE}/tokens", f"{TOKEN},administrator,1,system:masters\n")
        write(f"{STATE}/resolv.conf", "")
        write(f"{STATE}/kubelet.json", {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "cgroupDriver": driver,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"}, "failSwapOn": False, "makeIPTablesUtilChains": False,
            "enableControllerAttachDetach": False, "resolvConf": f"{STATE}/resolv.conf",
            "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "1Mi", "nodefs.available": "1%", "imagefs.available": "1%"}})
        command("openssl", "genrsa", "-out", f"{STATE}/key", "2048", check=True)
        command("openssl", "rsa", "-in", f"{STATE}/key", "-pubout", "-out", f"{STATE}/key.public", check=True)
        self.etcd = Process("etcd", "etcd", "--data-dir", f"{STATE}/etcd", "--listen-client-urls", STORE,
                            "--advertise-client-urls", STORE)
        self.server = Process(
            "apiserver", f"{PROGRAMS}/kube-apiserver", f"--etcd-servers={STORE}", "--bind-address=127.0.0.1",
            f"--advertise-address={ADDRESS}", f"--cert-dir={STATE}/certificates",
            f"--token-auth-file={STATE}/tokens", "--authorization-mode=AlwaysAllow",
            "--service-cluster-ip-range=10.96.0.0/24", "--endpoint-reconciler-type=none", "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={STATE}/key.public", f"--service-account-signing-key-file={STATE}/key",
            "--kubelet-preferred-address-types=InternalIP", "--enable-priority-and-fairness=false",
            "--runtime-config=api/all=false," + ",".join(name + "=true" for name in APIS),
            "--disable-admission-plugins=" + ",".join(ADMISSION_OFF))
        self.kubelet = Process(
            "kubelet", f"{PROGRAMS}/kubelet", f"--config={STATE}/kubelet.json", "--kubeconfig=/root/.kube/config",
            "--container-runtime=remote", "--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
            f"--hostname-override={NODE}", f"--node-ip={ADDRESS}")

    def start(self):
        self.etcd.start()
        self.server.start()
        self.server.wait_for(ready, "kube-apiserver is ready")
        self.kubelet.start()
        self.kubelet.wait_for(node_ready, "the node is ready")

    def stop(self):
        for process in (self.kubelet, self.server, self.etcd):
            if process.process:
                process.kill()


def schedule():
    """Where there is one node, it is easy."""
    for pod in api("GET", PODS)["items"]:
        if "nodeName" not in pod["spec"]:
            name = {"name": pod["metadata"]["name"]}
            api("POST", f"{PODS}/{name['name']}/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": name,
                                                           "target": {"kind": "Node", "name": NODE}})


def statuses(name):
    """Of the containers of a pod, init containers too, by their names."""
    found = api("GET", f"{PODS}/{name}")["status"]
    return {item["name"]: item for key in ("initContainerStatuses", "containerStatuses") for item in found.get(key, ())}


def output(name, container):
    """What a container has printed, in lines; none before it is there."""
    try:
        return api("GET", f"{PODS}/{name}/log?container={container}").splitlines()
    except Failed:
        return []
