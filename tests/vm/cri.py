# SPDX-License-Identifier: Apache-2.0
"""Pods by CRI, as a kubelet makes them. Debian has no client and no descriptions of the messages: those that the tests
need are here, each with the fields that they use."""

import os
import shutil
import tempfile

import grpc
from google.protobuf import descriptor_pb2, message_factory

ADDRESS = "unix:///run/containerd/containerd.sock"
SERVICE = "runtime.v1"
# A line a message: numbers of fields, their names, and their types, where they are not strings. What is left out is
# not sent, and passed over in answers.
MESSAGES = """
Pair 1:key 2:value
Namespaces 1:network:int32 2:pid:int32
SandboxSecurity 1:namespace_options:Namespaces
SandboxLinux 1:cgroup_parent 2:security_context:SandboxSecurity
SandboxName 1:name 2:uid 3:namespace 4:attempt:uint32
Sandbox 1:metadata:SandboxName 3:log_directory 7:annotations:Pair* 8:linux:SandboxLinux
ContainerSecurity 3:namespace_options:Namespaces
Linux 2:security_context:ContainerSecurity
ContainerName 1:name 2:attempt:uint32
Image 1:image
Container 1:metadata:ContainerName 2:image:Image 3:command:string* 10:annotations:Pair* 11:log_path 15:linux:Linux
ContainerState 1:id 3:state:int32 7:exit_code:int32 10:reason 11:message
VersionRequest 1:version
VersionResponse 2:runtime_name 3:runtime_version
RunPodSandboxRequest 1:config:Sandbox 2:runtime_handler
RunPodSandboxResponse 1:pod_sandbox_id
StopPodSandboxRequest 1:pod_sandbox_id
StopPodSandboxResponse
RemovePodSandboxRequest 1:pod_sandbox_id
RemovePodSandboxResponse
CreateContainerRequest 1:pod_sandbox_id 2:config:Container 3:sandbox_config:Sandbox
CreateContainerResponse 1:container_id
StartContainerRequest 1:container_id
StartContainerResponse
StopContainerRequest 1:container_id 2:timeout:int64
StopContainerResponse
RemoveContainerRequest 1:container_id
RemoveContainerResponse
ContainerStatusRequest 1:container_id
ContainerStatusResponse 1:status:ContainerState
ExecSyncRequest 1:container_id 2:cmd:string* 3:timeout:int64
ExecSyncResponse 1:stdout:bytes 2:stderr:bytes 3:exit_code:int32
"""
NODE, CONTAINER = 2, 1  # whose namespace a container gets
RUNNING, EXITED = 1, 2


def messages():
    """Their classes, by name."""
    file = descriptor_pb2.FileDescriptorProto(name="cri.proto", package=SERVICE, syntax="proto3")
    for name, *fields in (line.split() for line in MESSAGES.strip().splitlines()):
        message = file.message_type.add(name=name)
        for number, name, kind in ((field + ":string").split(":")[:3] for field in fields):
            field = message.field.add(name=name, number=int(number))
            field.label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
            kind = kind.rstrip("*")
            if kind[0].isupper():
                field.type, field.type_name = field.TYPE_MESSAGE, f".{SERVICE}.{kind}"
            else:
                field.type = getattr(field, "TYPE_" + kind.upper())
    return message_factory.GetMessages([file])


CLASSES = messages()


class Failed(Exception):
    """What the kubelet would tell of a call."""


def call(name, **fields):
    """RuntimeService's answer."""
    request = CLASSES[f"{SERVICE}.{name}Request"](**fields)
    with grpc.insecure_channel(ADDRESS) as channel:
        method = channel.unary_unary(f"/{SERVICE}.RuntimeService/{name}",
                                     request_serializer=type(request).SerializeToString,
                                     response_deserializer=CLASSES[f"{SERVICE}.{name}Response"].FromString)
        try:
            return method(request, timeout=240)
        except grpc.RpcError as error:
            raise Failed(error.details()) from None


def pairs(annotations):
    return [{"key": key, "value": value} for key, value in annotations.items()]


class Pod:
    """A sandbox, and containers in it. With the node's network: nobody has set up another."""

    SECURITY = {"namespace_options": {"network": NODE, "pid": CONTAINER}}

    def __init__(self, handler, annotations, name="shop", cgroup=""):
        self.logs = tempfile.mkdtemp(prefix="pod-", dir="/tmp")
        self.config = {"metadata": {"name": name, "uid": os.path.basename(self.logs), "namespace": "default"},
                       "log_directory": self.logs, "annotations": pairs(annotations),
                       "linux": {"cgroup_parent": cgroup, "security_context": self.SECURITY}}
        self.id = call("RunPodSandbox", config=self.config, runtime_handler=handler).pod_sandbox_id

    def create(self, name, image, words, annotations):
        """Returns the container's id."""
        config = {"metadata": {"name": name}, "image": {"image": image}, "command": words, "log_path": name,
                  "annotations": pairs(annotations), "linux": {"security_context": self.SECURITY}}
        return call("CreateContainer", pod_sandbox_id=self.id, config=config, sandbox_config=self.config).container_id

    def output(self, name):
        """What a container has printed, in lines. Each has its time, its stream and an F for a whole one before it."""
        with open(os.path.join(self.logs, name), encoding="utf-8") as file:
            return [line.split(" ", 3)[3] for line in file.read().splitlines()]

    def end(self):
        call("StopPodSandbox", pod_sandbox_id=self.id)
        call("RemovePodSandbox", pod_sandbox_id=self.id)
        shutil.rmtree(self.logs)


def state(container):
    return call("ContainerStatus", container_id=container).status


def execute(container, *words):
    """A session: (exit status, what it printed, in lines)."""
    answer = call("ExecSync", container_id=container, cmd=words, timeout=120)
    return answer.exit_code, (answer.stdout + answer.stderr).decode().splitlines()
