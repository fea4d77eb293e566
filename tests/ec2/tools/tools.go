//go:build tools

// Package tools pins what the EC2 of the tests is used with.
package tools

import _ "github.com/aws/session-manager-plugin/src/sessionmanagerplugin-main"
